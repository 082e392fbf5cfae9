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
from ..layers.drop_path import drop_path_rates
from ..layers.gated_block import GatedBlock
from ..layers.ssm import SSM
from ..layers.stage import Stage
from ..layers.vss import VSSBlock
from .levels import check_frozen, resolve_indices
from .staged import StagedBackbone

# Options of a block type that a stage may set; anything else in a stage is a mistake of the user's.
_GATED_OPTIONS = ("expand", "ffn_ratio", "conv_kernel", "conv_causal")
_SCAN_OPTIONS = (*_GATED_OPTIONS, "num_states", "rank", "backend")
BLOCK_OPTIONS: dict[str, tuple[str, ...]] = {
    "conv": (),
    "gated": _GATED_OPTIONS,
    "mamba": _SCAN_OPTIONS,
    "vss": ("expand", "ffn_ratio", "num_states", "rank", "backend"),
    "dssm": (*_SCAN_OPTIONS, "num_anchors", "group_channels", "offset_bound", "norm_scan_input"),
}
BLOCKS: dict[str, type[nn.Module]] = {"conv": ConvBlock, "vss": VSSBlock}  # all others are gated blocks
TRIBRID = ("conv", "conv", "dssm", "gated", "dssm", "gated")
STRIDES = (4, 8, 16, 16, 32, 32)


def _arch(stem_channels: int, widths: Sequence[int], depths: Sequence[int]) -> dict[str, Any]:
    """Return an architecture of six stages from four widths (one for each stride) and six depths."""
    channels = [widths[(4, 8, 16, 32).index(stride)] for stride in STRIDES]
    stages = [
        {"block": block, "channels": width, "depth": depth, "stride": stride}
        for block, width, depth, stride in zip(TRIBRID, channels, depths, STRIDES, strict=True)
    ]
    return {"stem_channels": stem_channels, "stages": stages}


ARCHS: dict[str, dict[str, Any]] = {
    "nano": _arch(16, (16, 32, 64, 128), (1, 1, 2, 1, 1, 1)),
    "tiny": _arch(16, (64, 128, 320, 576), (2, 2, 4, 4, 2, 2)),
    "small": _arch(24, (80, 160, 384, 640), (2, 2, 6, 6, 3, 3)),
    "base": _arch(32, (96, 192, 512, 768), (3, 3, 8, 8, 3, 3)),
}


def _downsample(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return a strided 3x3 convolution with batch normalisation, or the identity where nothing changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _make_stage(
    in_channels: int, channels: int, stride: int, block: str, drop_path: Sequence[float], with_cp: bool, **options: Any
) -> Stage:
    """Return a change of stride or width, then blocks of one type with these rates of `drop_path`."""
    make = BLOCKS.get(block) or partial(GatedBlock, block=block)
    blocks = [make(channels=channels, drop_path=rate, **options) for rate in drop_path]
    return Stage(_downsample(in_channels, channels, stride), blocks, on_tokens=block != "conv", with_cp=with_cp)


@register_backbone
class DFMamba(StagedBackbone):
    """The DF-Mamba backbone.

    Feature maps go in and out as (batch, channels, height, width); any input size works, square or not.

    Args:
        arch: 'nano' (tests and demos), 'tiny' (the paper's size), 'small', 'base', or a dictionary
            `{'stem_channels': int, 'stages': [{'block': 'conv' | 'gated' | 'mamba' | 'dssm' | 'vss',
            'channels': int, 'depth': int, 'stride': int (of the map against the image), ...options of that block},
            ...]}`; 'vss' is VMamba's block.
        in_channels: Channels of the image: 3, or 1 for depth.
        out_indices: Stages whose maps are returned, from 0; None for the last stage of each of the strides 8, 16, 32.
            Stages behind the last of them are not built.
        blocks: A block type for every stage, in place of the architecture's, for ablations.
        num_anchors: K of DSSM: 1, 9 or 25.
        group_channels: Channels that share offsets and weights in DSSM.
        num_states: N of the scan.
        rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        offset_bound: Bound of the offsets in pixels, or None for none.
        norm_scan_input: Scan LayerNorm(x + u) instead of u.
        expand: Inner width of the token blocks over their channels.
        ffn_ratio: Hidden width of the feed-forward networks over the channels; 0 leaves them out.
        conv_kernel: Tokens covered by the depthwise convolution of the token blocks.
        conv_causal: Whether that convolution looks backwards only.
        drop_path_rate: Rate of the last block; it grows linearly from 0.
        out_norm: Whether each returned map passes a layer normalisation of its own.
        frozen_stages: Stages that do not train: -1 none, 0 the stem, n the stem and the first n stages.
        norm_eval: Keep all batch normalisation in evaluation mode while training.
        with_cp: Recompute the blocks in the backward pass to save memory (gradient checkpointing).
        backend: What the operators run on, a name from `dfmamba.ops.available_backends`; None as they choose.
        init_cfg: mmengine's initialisation, such as `dict(type='Pretrained', checkpoint=...)`.

    Attributes:
        feature_info: For each returned map dict(num_chs=channels, reduction=stride, module=name of its stage).
        stage_info: The same for every stage that is built.

    Raises:
        ValueError: An unknown architecture, block or stage option, an index out of range, or a backend that cannot be
            used.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        blocks: Sequence[str] | None = None,
        num_anchors: int = 9,
        group_channels: int = 64,
        num_states: int = 8,
        rank: int | None = None,
        offset_bound: float | None = None,
        norm_scan_input: bool = False,
        expand: float = 1.0,
        ffn_ratio: float = 4.0,
        conv_kernel: int = 3,
        conv_causal: bool = False,
        drop_path_rate: float = 0.0,
        out_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        backend: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        stem_channels, stages = _resolve(arch, blocks)
        self.out_indices = resolve_indices(out_indices, [stage["stride"] for stage in stages])
        self.frozen_stages = check_frozen(frozen_stages, len(stages))
        self.norm_eval = norm_eval
        stages = stages[: max(self.out_indices) + 1]
        defaults = {
            "num_anchors": num_anchors,
            "group_channels": group_channels,
            "num_states": num_states,
            "rank": rank,
            "offset_bound": offset_bound,
            "norm_scan_input": norm_scan_input,
            "expand": expand,
            "ffn_ratio": ffn_ratio,
            "conv_kernel": conv_kernel,
            "conv_causal": conv_causal,
            "backend": backend,
        }

        channels, stride = stages[0]["channels"], 4
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_channels, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(stem_channels),
            nn.GELU(),
            nn.Conv2d(stem_channels, channels, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
        )
        self.stages = nn.ModuleList()
        rates = drop_path_rates(drop_path_rate, sum(stage["depth"] for stage in stages))
        for number, stage in enumerate(stages):
            options = _stage_options(number, stage, defaults)
            drop_path, rates = rates[: stage["depth"]], rates[stage["depth"] :]
            steps = stage["stride"] // stride
            self.stages.append(
                _make_stage(channels, stage["channels"], steps, stage["block"], drop_path, with_cp, **options)
            )
            channels, stride = stage["channels"], stage["stride"]

        self.finish([stage["channels"] for stage in stages], [stage["stride"] for stage in stages], out_norm)
        self.apply(_init_weights)
        self.freeze()


def _resolve(arch: str | Mapping[str, Any], blocks: Sequence[str] | None) -> tuple[int, list[dict[str, Any]]]:
    """Return the stem's hidden channels and the checked stages of an architecture."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f"arch: expected one of {', '.join(ARCHS)} or a dictionary, got {arch!r}")
        arch = ARCHS[arch]
    stages = [dict(stage) for stage in arch["stages"]]
    if blocks is not None:
        if len(blocks) != len(stages):
            raise ValueError(f"blocks: expected one for each of the {len(stages)} stages, got {len(blocks)}")
        for stage, block in zip(stages, blocks, strict=True):
            stage["block"] = block
    stride = 4
    for number, stage in enumerate(stages):
        missing = {"block", "channels", "depth", "stride"} - set(stage)
        if missing:
            raise ValueError(f"arch: stage {number} lacks {', '.join(sorted(missing))}")
        if stage["block"] not in BLOCK_OPTIONS:
            raise ValueError(
                f"arch: stage {number}: expected a block of {', '.join(BLOCK_OPTIONS)}, got {stage['block']!r}"
            )
        if stage["stride"] not in (stride, 2 * stride):
            raise ValueError(
                f"arch: stage {number}: expected a stride of {stride} or {2 * stride}, got {stage['stride']}"
            )
        stride = stage["stride"]
    return arch["stem_channels"], stages


def _stage_options(number: int, stage: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a stage's blocks: those it sets itself, else the backbone's."""
    own = {key: value for key, value in stage.items() if key not in ("block", "channels", "depth", "stride")}
    allowed = BLOCK_OPTIONS[stage["block"]]
    for key in own:
        if key not in allowed:
            raise ValueError(
                f"arch: stage {number}: a {stage['block']} block has no option {key!r}; "
                f"expected one of: {', '.join(allowed) or 'none'}"
            )
    return {key: own.get(key, defaults[key]) for key in allowed}


def _init_weights(module: nn.Module) -> None:
    """Initialise one module; for `nn.Module.apply`, which comes to the parts first and to their SSM last."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d) and module.groups == 1:  # depthwise ones keep torch's start
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, SSM):
        module.reset_parameters()
