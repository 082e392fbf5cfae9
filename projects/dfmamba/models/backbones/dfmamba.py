"""DF-Mamba: a convolution stem and six stages of convolution, DSSM and gated convolution blocks.

Source: arXiv 2512.02727, section 2.2. The paper prints neither widths nor depths; those of 'tiny' are ours and meet
what it does print: 42 M parameters with the A2J-Transformer head on InterHand2.6M, and at most 4.9 G multiply-adds of
the backbone at 256x256.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from ..base import register_backbone
from ..layers.conv_block import ConvBlock
from ..layers.gated_block import GatedBlock
from ..layers.stage import Stage, TokenStage
from ..layers.vss import VSSBlock
from .staged import STEM_STRIDE, STRIDES, Arch, StagedBackbone, StageSpec, check_has

# Options of a block type that a stage may set; anything else in a stage is a mistake of the user's.
_GATED_OPTIONS = ("expand", "mlp_ratio", "d_conv", "conv_causal")
_SCAN_OPTIONS = (*_GATED_OPTIONS, "d_state", "dt_rank", "backend")
BLOCK_OPTIONS: dict[str, tuple[str, ...]] = {
    "conv": (),
    "gated": _GATED_OPTIONS,
    "mamba": _SCAN_OPTIONS,
    "vss": ("expand", "mlp_ratio", "d_state", "dt_rank", "backend"),
    "dssm": (*_SCAN_OPTIONS, "num_anchors", "group_channels", "offset_bound", "center_weight", "norm_scan_input"),
}
BLOCKS: dict[str, type[nn.Module]] = {"conv": ConvBlock, "vss": VSSBlock}  # all others are gated blocks
TRIBRID = ("conv", "conv", "dssm", "gated", "dssm", "gated")
TRIBRID_STRIDES = (4, 8, 16, 16, 32, 32)


def _arch(stem_channels: int, dims: Sequence[int], depths: Sequence[int]) -> dict[str, Any]:
    """Return an architecture of six stages from four dims (one for each stride) and six depths."""
    stages = [
        {"block": block, "channels": dims[STRIDES.index(stride)], "depth": depth, "stride": stride}
        for block, depth, stride in zip(TRIBRID, depths, TRIBRID_STRIDES, strict=True)
    ]
    return {"stem_channels": stem_channels, "stages": stages}


ARCHS: dict[str, dict[str, Any]] = {
    "nano": _arch(16, (16, 32, 64, 128), (1, 1, 2, 1, 1, 1)),
    "tiny": _arch(16, (64, 128, 320, 576), (2, 2, 4, 4, 2, 2)),
    "small": _arch(24, (80, 160, 384, 640), (2, 2, 6, 6, 3, 3)),
    "base": _arch(32, (96, 192, 512, 768), (3, 3, 8, 8, 3, 3)),
}


@register_backbone
class DFMamba(StagedBackbone):
    """The DF-Mamba backbone.

    Args:
        arch: 'nano' (tests and demos), 'tiny' (the paper's size), 'small', 'base', or a dictionary
            `{'stem_channels': int, 'stages': [{'block': 'conv' | 'gated' | 'mamba' | 'dssm' | 'vss',
            'channels': int, 'depth': int, 'stride': int (of the map against the image), ...options of that block},
            ...]}`; 'vss' is VMamba's block.
        in_channels: Channels of the image: 3, or 1 for depth.
        out_indices: Stages whose maps are returned, as in `StagedBackbone`.
        blocks: A block type for every stage, in place of the architecture's, for ablations.
        num_anchors: K of DSSM: 1, 9 or 25.
        group_channels: Channels that share offsets and weights in DSSM.
        d_state: N of the scan.
        offset_bound: Bound of the offsets in pixels, or None for none.
        center_weight: Weight of DSSM's center anchor at the start, see `layers.dssm.DSSM`.
        norm_scan_input: Scan LayerNorm(x + u) instead of u.
        expand: Inner width of the token blocks over their channels.
        d_conv: Tokens covered by the depthwise convolution of the token blocks.
        conv_causal: Whether that convolution looks backwards only.
        **options: The other arguments of `StagedBackbone`. `mlp_ratio=0` leaves the feed-forward networks out.

    Raises:
        ValueError: As `StagedBackbone`, or an unknown block or stage option.
    """

    archs = ARCHS

    def __init__(
        self,
        arch: str | Arch = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        blocks: Sequence[str] | None = None,
        num_anchors: int = 9,
        group_channels: int = 64,
        d_state: int = 8,
        offset_bound: float | None = None,
        center_weight: float = 1.0,
        norm_scan_input: bool = False,
        expand: float = 1.0,
        d_conv: int = 3,
        conv_causal: bool = False,
        **options: Any,
    ) -> None:
        self._block_types = blocks
        self._block_options = {
            "num_anchors": num_anchors,
            "group_channels": group_channels,
            "offset_bound": offset_bound,
            "center_weight": center_weight,
            "norm_scan_input": norm_scan_input,
            "expand": expand,
            "d_conv": d_conv,
            "conv_causal": conv_causal,
        }
        super().__init__(arch, in_channels, out_indices, d_state, **options)

    def resolve_stages(self, arch: Arch, options: Mapping[str, Any]) -> list[StageSpec]:
        """Return the checked stages, each with its block type and that block's options."""
        check_has(arch, {"stem_channels", "stages"}, "arch:")
        self._stem_channels = arch["stem_channels"]
        stages = [dict(stage) for stage in arch["stages"]]
        blocks = self._block_types
        if blocks is not None:
            if len(blocks) != len(stages):
                raise ValueError(f"blocks: expected one for each of the {len(stages)} stages, got {len(blocks)}")
            stages = [{**stage, "block": block} for stage, block in zip(stages, blocks, strict=True)]
        _check_stages(stages)
        defaults = {**options, **self._block_options}
        return [
            StageSpec(stage["channels"], stage["depth"], stage["stride"], _stage_options(number, stage, defaults))
            for number, stage in enumerate(stages)
        ]

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return two strided 3x3 convolutions with batch normalisation and GELU."""
        return nn.Sequential(
            *_conv(in_channels, self._stem_channels, 2), nn.GELU(), *_conv(self._stem_channels, channels, 2), nn.GELU()
        )

    def make_stage(self, in_channels: int, stride: int, spec: StageSpec, drop_path: Sequence[float]) -> Stage:
        """Return blocks of one type, in front of them a strided 3x3 convolution where stride or width change."""
        options = dict(spec.options)
        block = options.pop("block")
        make = BLOCKS.get(block) or partial(GatedBlock, block=block)
        # Before the downsampling: the order in which they take random numbers.
        blocks = [make(channels=spec.channels, drop_path=rate, **options) for rate in drop_path]
        same = stride == 1 and in_channels == spec.channels
        downsample = nn.Identity() if same else nn.Sequential(*_conv(in_channels, spec.channels, stride))
        return (Stage if block == "conv" else TokenStage)(downsample, blocks)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module; convolutions too, but for depthwise ones."""
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _conv(in_channels: int, out_channels: int, stride: int) -> tuple[nn.Module, nn.Module]:
    """Return a 3x3 convolution and a batch normalisation."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return conv, nn.BatchNorm2d(out_channels)


def _check_stages(stages: Sequence[Arch]) -> None:
    """Raise ValueError if a stage lacks something, or has a block or a stride that does not exist."""
    stride = STEM_STRIDE
    for number, stage in enumerate(stages):
        check_has(stage, {"block", "channels", "depth", "stride"}, f"arch: stage {number}")
        if stage["block"] not in BLOCK_OPTIONS:
            raise ValueError(
                f"arch: stage {number}: expected a block of {', '.join(BLOCK_OPTIONS)}, got {stage['block']!r}"
            )
        if stage["stride"] not in (stride, 2 * stride):
            raise ValueError(
                f"arch: stage {number}: expected a stride of {stride} or {2 * stride}, got {stage['stride']}"
            )
        stride = stage["stride"]


def _stage_options(number: int, stage: Arch, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's block and that block's options: those the stage sets itself, else the backbone's."""
    own = {key: value for key, value in stage.items() if key not in ("block", "channels", "depth", "stride")}
    allowed = BLOCK_OPTIONS[stage["block"]]
    for key in own:
        if key not in allowed:
            raise ValueError(
                f"arch: stage {number}: a {stage['block']} block has no option {key!r}; "
                f"expected one of: {', '.join(allowed) or 'none'}"
            )
    return {"block": stage["block"], **{key: own.get(key, defaults[key]) for key in allowed}}
