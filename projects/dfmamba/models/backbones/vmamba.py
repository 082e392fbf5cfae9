"""VMamba: four stages of blocks whose selective scan reads the map in four directions.

Source: Liu et al. 2024, "VMamba: Visual State Space Model" (arXiv 2401.10166). 'tiny' is the released VMamba-T with
30 M parameters and 4.9 G multiply-adds at 224 x 224 (s1l8: inner width 1 x, 8 blocks in the third stage), which has
depths 2, 2, 8, 2, one state a channel, no gate, overlapping 3x3 convolutions in stem and downsampling, and layer
normalisation. The paper's other VMamba-T (s2l5: inner width 2 x, depths 2, 2, 5, 2) has 31 M; 'small' and 'base' are
the released s2l15. 'nano' is ours, with as many parameters and multiply-adds as DF-Mamba's.

A block is Y = X + VSS(LayerNorm(X)), then Y + FFN(LayerNorm(Y)), with

    VSS(X) = Linear(LayerNorm(S(SiLU(Conv(Linear(X))))))

where Conv is a depthwise 3x3 convolution and S the sum of four selective scans, one in each direction.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.cost import scan_multiply_adds
from ..base import register_backbone
from ..blocks import SSM, DropPath, FeedForward, Size
from ..layers.cross_scan import NUM_DIRECTIONS, cross_merge, cross_scan
from ..layers.layer_norm import LayerNorm2d
from ..layers.state_scan import read_states, scan_states
from ..layers.token_map_conv import TokenMapConv
from ..layers.weight_decay import mark_no_weight_decay
from .four_stages import FourStageBackbone

VMAMBA_ARCHS: dict[str, dict[str, Any]] = {
    "nano": {"widths": (16, 32, 64, 128), "depths": (1, 2, 4, 2), "expand": 1.0},
    "tiny": {"widths": (96, 192, 384, 768), "depths": (2, 2, 8, 2), "expand": 1.0},
    "small": {"widths": (96, 192, 384, 768), "depths": (2, 2, 15, 2), "expand": 2.0},
    "base": {"widths": (128, 256, 512, 1024), "depths": (2, 2, 15, 2), "expand": 2.0},
}


class CrossScanSSM(nn.Module):
    """Four selective scans, one in each direction of the map, added up (SS2D in the paper).

    Each direction k has its own projections to the step size, B and C, and its own A and D. As a projection acts on
    each token alone, all four are computed row by row; then the tokens are put into the order of their direction.

    Args:
        channels: Channels of the tokens.
        num_states: N, states a channel.
        rank: Width of the bottleneck through which the step size is computed; None for ceil(channels / 16).
        backend: As for `SSM`.
    """

    NO_WEIGHT_DECAY = SSM.NO_WEIGHT_DECAY

    def __init__(self, channels: int, num_states: int = 1, rank: int | None = None, backend: str | None = None) -> None:
        super().__init__()
        self.backend = backend
        self.num_directions = NUM_DIRECTIONS
        self.num_states = num_states
        self.rank = rank or math.ceil(channels / 16)
        scans = [SSM(channels, num_states, self.rank, backend) for _ in range(NUM_DIRECTIONS)]  # for their start

        def stack(tensors: list[Tensor]) -> nn.Parameter:
            return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))

        self.input_weight = stack([scan.project_input.weight for scan in scans])  # (4, rank + 2 N, channels)
        self.delta_weight = stack([scan.project_delta.weight for scan in scans])  # (4, channels, rank)
        self.delta_bias = stack([scan.delta_bias for scan in scans])  # (4, channels)
        self.A_log = stack([scan.A_log for scan in scans])  # (4, channels, N)
        self.D = stack([scan.D for scan in scans])  # (4, channels)
        mark_no_weight_decay(self)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return the scanned tokens, (batch, L, channels); `size` is (H, W)."""
        projected = F.linear(x, self.input_weight.flatten(0, 1)).unflatten(-1, (self.num_directions, -1))
        projected = cross_scan(projected, size)  # (batch, L, 4, rank + 2 N)
        bottleneck, B, C = projected.split([self.rank, self.num_states, self.num_states], -1)
        delta = torch.einsum("blkr,kcr->blkc", bottleneck, self.delta_weight)
        u = cross_scan(x.unsqueeze(2).expand(-1, -1, self.num_directions, -1), size)  # (batch, L, 4, channels)
        h = scan_states(u, delta, -self.A_log.float().exp(), B.unsqueeze(3), self.delta_bias, self.backend)
        y = read_states(h, C.unsqueeze(3), self.num_states)
        # D_k x is the same token in every order, so the four skips are one.
        return cross_merge(y, size) + self.D.sum(0) * x

    def multiply_adds(self, length: int) -> int:
        """Return the multiply-adds of the four scans for `length` tokens; each is counted as in `SSM`."""
        return scan_multiply_adds((1, length, self.D.numel()), (self.D.numel(), self.num_states))


class VSSBlock(nn.Module):
    """VMamba's block on tokens: four scans, then a feed-forward network.

    Args:
        channels: Channels of the tokens.
        expand: Inner width of the scans over `channels`.
        ffn_ratio: Hidden width of the feed-forward network over `channels`; 0 leaves the network out.
        num_states: N of the scans.
        rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        backend: As for `SSM`.
        drop_path: Rate at which the residual branches are dropped while training.
    """

    def __init__(
        self,
        channels: int,
        expand: float = 1.0,
        ffn_ratio: float = 4.0,
        num_states: int = 1,
        rank: int | None = None,
        backend: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner = int(channels * expand)
        self.norm = nn.LayerNorm(channels)
        self.project_in = nn.Linear(channels, inner, bias=False)
        self.conv = TokenMapConv(inner, bias=False)
        self.mixer = CrossScanSSM(inner, num_states, rank or math.ceil(channels / 16), backend)
        self.scan_norm = nn.LayerNorm(inner)
        self.project_out = nn.Linear(inner, channels, bias=False)
        self.drop_path = DropPath(drop_path)
        self.ffn = nn.Sequential(nn.LayerNorm(channels), FeedForward(channels, ffn_ratio)) if ffn_ratio else None

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        z = F.silu(self.conv(self.project_in(self.norm(x)), size))
        x = x + self.drop_path(self.project_out(self.scan_norm(self.mixer(z, size))))
        return x if self.ffn is None else x + self.drop_path(self.ffn(x))


@register_backbone
class VMamba(FourStageBackbone):
    """The VMamba backbone, at strides 4, 8, 16 and 32. Arguments: see `FourStageBackbone`."""

    archs = VMAMBA_ARCHS

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return two strided 3x3 convolutions, each with a layer normalisation, and a GELU between."""
        return nn.Sequential(*_halve(in_channels, channels // 2), nn.GELU(), *_halve(channels // 2, channels))

    def make_downsample(self, in_channels: int, channels: int) -> nn.Module:
        """Return a strided 3x3 convolution with layer normalisation."""
        return _halve(in_channels, channels)

    def make_block(self, channels: int, **block: Any) -> nn.Module:
        """Return a `VSSBlock`."""
        return VSSBlock(channels, **block)


def _halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution of stride 2 with layer normalisation."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 2, padding=1), LayerNorm2d(out_channels))
