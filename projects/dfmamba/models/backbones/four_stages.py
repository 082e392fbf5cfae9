"""What VMamba and Spatial-Mamba share: a stem and four stages of token blocks at strides 4, 8, 16 and 32."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from ..layers.drop_path import drop_path_rates
from ..layers.ssm import SSM
from ..layers.stage import Stage
from .levels import check_frozen, resolve_indices
from .staged import StagedBackbone

STRIDES = (4, 8, 16, 32)


class FourStageBackbone(StagedBackbone):
    """A stem of stride 4 and four stages, of which those of `out_indices` are returned.

    Subclasses name architectures and say what a stem, a downsampling and a block are. Feature maps go in and out as
    (batch, channels, height, width); any input size works: a level of stride s has ceil(size / s) positions.

    Args:
        arch: 'nano' (tests and demos), 'tiny', 'small', 'base' (published sizes), or a dictionary
            `{'widths': 4 ints, 'depths': 4 ints, 'expand': inner width of the scans over the channels}`.
        in_channels: Channels of the image: 3, or 1 for depth.
        out_indices: Stages whose maps are returned, from 0; None for (1, 2, 3), the strides 8, 16 and 32. Stages behind
            the last of them are not built.
        num_states: N of the scans.
        rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        ffn_ratio: Hidden width of the feed-forward networks over the channels.
        drop_path_rate: Rate of the last block; it grows linearly from 0.
        out_norm: Whether each returned map passes a layer normalisation of its own.
        frozen_stages: Stages that do not train: -1 none, 0 the stem, n the stem and the first n stages.
        norm_eval: Keep all batch normalisation in evaluation mode while training.
        with_cp: Recompute the blocks in the backward pass to save memory (gradient checkpointing).
        backend: What the operators run on, a name from `dfmamba.ops.available_backends`; None as they choose.
        init_cfg: mmengine's initialisation, such as `dict(type='Pretrained', checkpoint=...)`.

    Attributes:
        archs: The named architectures.
        feature_info: For each returned map dict(num_chs=channels, reduction=stride, module=name of its stage).

    Raises:
        ValueError: An unknown or incomplete architecture, an index out of range, or a backend that cannot be used.
    """

    archs: ClassVar[Mapping[str, Mapping[str, Any]]]

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        num_states: int = 1,
        rank: int | None = None,
        ffn_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        out_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        backend: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch, self.archs)
        block = {
            "expand": arch["expand"],
            "ffn_ratio": ffn_ratio,
            "num_states": num_states,
            "rank": rank,
            "backend": backend,
        }
        widths, depths = arch["widths"], arch["depths"]
        self.out_indices = resolve_indices(out_indices, STRIDES)
        self.frozen_stages = check_frozen(frozen_stages, len(STRIDES))
        self.norm_eval = norm_eval

        self.stem = self.make_stem(in_channels, widths[0])
        self.stages = nn.ModuleList()
        built = max(self.out_indices) + 1
        rates = drop_path_rates(drop_path_rate, sum(depths[:built]))
        for number in range(built):
            drop_path, rates = rates[: depths[number]], rates[depths[number] :]
            downsample = self.make_downsample(widths[number - 1], widths[number]) if number else nn.Identity()
            blocks = [self.make_block(widths[number], drop_path=rate, **block) for rate in drop_path]
            self.stages.append(Stage(downsample, blocks, with_cp=with_cp))

        self.finish(widths[:built], STRIDES[:built], out_norm)
        self.apply(_init_weights)
        self.freeze()

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return what makes the map of stride 4 from the image."""
        raise NotImplementedError

    def make_downsample(self, in_channels: int, channels: int) -> nn.Module:
        """Return what halves a map between two stages."""
        raise NotImplementedError

    def make_block(self, channels: int, **block: Any) -> nn.Module:
        """Return a block, called with tokens (batch, H*W, channels) and (H, W).

        Args:
            channels: Channels of its tokens.
            **block: `expand`, `ffn_ratio`, `num_states`, `rank`, `backend` and `drop_path`.
        """
        raise NotImplementedError


def resolve_arch(arch: str | Mapping[str, Any], archs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the architecture as a dictionary with `widths`, `depths` and `expand`, or raise ValueError."""
    if isinstance(arch, str):
        if arch not in archs:
            raise ValueError(f"arch: expected one of {', '.join(archs)} or a dictionary, got {arch!r}")
        return archs[arch]
    missing = {"widths", "depths", "expand"} - set(arch)
    if missing:
        raise ValueError(f"arch: lacks {', '.join(sorted(missing))}")
    for key in ("widths", "depths"):
        if len(arch[key]) != len(STRIDES):
            raise ValueError(f"arch: expected {len(STRIDES)} {key}, got {len(arch[key])}")
    return arch


def _init_weights(module: nn.Module) -> None:
    """Initialise one module as both papers' code does; convolutions keep torch's start."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, SSM):  # comes after the linear layers inside it
        module.reset_parameters()
