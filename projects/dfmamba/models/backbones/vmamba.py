"""VMamba: four stages of blocks whose selective scan reads the map in four directions.

Source: Liu et al. 2024, "VMamba: Visual State Space Model" (arXiv 2401.10166). 'tiny' is the released VMamba-T with
30 M parameters and 4.9 G multiply-adds at 224 x 224 (s1l8: inner width 1 x, 8 blocks in the third stage), which has
depths 2, 2, 8, 2, one state a channel, no gate, overlapping 3x3 convolutions in stem and downsampling, and layer
normalisation. The paper's other VMamba-T (s2l5: inner width 2 x, depths 2, 2, 5, 2) has 31 M; 'small' and 'base' are
the released s2l15. 'nano' is ours, with as many parameters and multiply-adds as DF-Mamba's.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..base import register_backbone
from ..layers.norm import LayerNorm2d
from ..layers.stage import Stage, TokenStage
from ..layers.vss import VSSBlock
from .staged import StagedBackbone, StageSpec

VMAMBA_ARCHS: dict[str, dict[str, Any]] = {
    "nano": {"dims": (16, 32, 64, 128), "depths": (1, 2, 4, 2), "expand": 1.0},
    "tiny": {"dims": (96, 192, 384, 768), "depths": (2, 2, 8, 2), "expand": 1.0},
    "small": {"dims": (96, 192, 384, 768), "depths": (2, 2, 15, 2), "expand": 2.0},
    "base": {"dims": (128, 256, 512, 1024), "depths": (2, 2, 15, 2), "expand": 2.0},
}


@register_backbone
class VMamba(StagedBackbone):
    """The VMamba backbone, at strides 4, 8, 16 and 32. Arguments: see `StagedBackbone`."""

    archs = VMAMBA_ARCHS

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return two strided 3x3 convolutions, each with a layer normalisation, and a GELU between."""
        return nn.Sequential(*_halve(in_channels, channels // 2), nn.GELU(), *_halve(channels // 2, channels))

    def make_stage(self, in_channels: int, stride: int, spec: StageSpec, drop_path: Sequence[float]) -> Stage:
        """Return a strided 3x3 convolution with layer normalisation, then `VSSBlock`s."""
        downsample = nn.Identity() if stride == 1 else _halve(in_channels, spec.channels)
        return TokenStage(downsample, [VSSBlock(spec.channels, drop_path=rate, **spec.options) for rate in drop_path])


def _halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution of stride 2 with layer normalisation."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 2, padding=1), LayerNorm2d(out_channels))
