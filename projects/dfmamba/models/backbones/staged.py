"""The base of our backbones: a stem, then stages. Which maps are returned, how weights start, what does not train."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..base import BaseModule
from ..checkpoint_keys import load_old_keys
from ..layers.drop_path import drop_path_rates
from ..layers.norm import LayerNorm2d, use_running_statistics
from ..layers.ssm import SSM
from ..layers.stage import Stage
from ..layers.weight_decay import no_weight_decay
from .levels import check_frozen, resolve_indices

Arch = Mapping[str, Any]

STEM_STRIDE = 4
STRIDES = (4, 8, 16, 32)  # of the architectures that are tables of four dims and depths


class StageSpec(NamedTuple):
    """What an architecture says of a stage.

    Attributes:
        channels: Channels of its map.
        depth: Blocks.
        stride: Stride of its map against the image.
        options: Arguments of its blocks.
    """

    channels: int
    depth: int
    stride: int
    options: Mapping[str, Any]


class StagedBackbone(BaseModule):
    """A stem of stride 4 and stages, of which those of `out_indices` are returned.

    Subclasses name architectures and make stem and stages. Feature maps go in and out as (batch, channels, height,
    width); any input size works: a level of stride s has ceil(size / s) positions.

    Args:
        arch: 'nano' (tests and demos), 'tiny', 'small', 'base' (published sizes), or a dictionary
            `{'dims': 4 ints, 'depths': 4 ints, 'expand': inner width of the scans over the channels}`.
        in_channels: Channels of the image: 3, or 1 for depth.
        out_indices: Stages whose maps are returned, from 0; None for the last stage of each of the strides 8, 16, 32.
            Stages behind the last of them are not built.
        d_state: N of the scans.
        dt_rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        mlp_ratio: Hidden width of the feed-forward networks over the channels.
        drop_path_rate: Rate of the last block; it grows linearly from 0.
        out_norm: Whether each returned map passes a layer normalisation of its own.
        frozen_stages: Stages that do not train: -1 none, 0 the stem, n the stem and the first n stages.
        norm_eval: Keep all batch normalisation in evaluation mode while training.
        with_cp: Recompute the blocks in the backward pass to save memory (gradient checkpointing).
        backend: What the operators run on, a name from `dfmamba.ops.available_backends`; None as they choose.
        init_cfg: mmengine's initialisation, such as `dict(type='Pretrained', checkpoint=...)`.

    Attributes:
        archs: The named architectures.
        out_indices: Numbers of the stages whose maps are returned, from 0.
        stage_info: For each stage that is built dict(num_chs=channels, reduction=stride, module=its name).
        feature_info: The same for each returned map.

    Raises:
        ValueError: An unknown or incomplete architecture, an index out of range, or a backend that cannot be used.
    """

    archs: ClassVar[Mapping[str, Arch]]

    __jit_unused_properties__ = ("is_init",)  # of mmengine's BaseModule, which TorchScript cannot compile

    if TYPE_CHECKING:  # TorchScript takes annotations for types of its own, and has none for these
        out_indices: tuple[int, ...]

    def __init__(
        self,
        arch: str | Arch = "tiny",
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        d_state: int = 1,
        dt_rank: int | None = None,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        out_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        backend: str | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        load_old_keys(self)
        options = {"mlp_ratio": mlp_ratio, "d_state": d_state, "dt_rank": dt_rank, "backend": backend}
        specs = self.resolve_stages(self.resolve_arch(arch), options)
        self.out_indices = resolve_indices(out_indices, [spec.stride for spec in specs])
        self.frozen_stages = check_frozen(frozen_stages, len(specs))
        self.norm_eval = norm_eval
        specs = specs[: max(self.out_indices) + 1]
        self._build(specs, in_channels, drop_path_rate, with_cp)
        self.stage_info = [
            {"num_chs": spec.channels, "reduction": spec.stride, "module": f"stages.{number}"}
            for number, spec in enumerate(specs)
        ]
        self.feature_info = [self.stage_info[i] for i in self.out_indices]
        self.out_norms = nn.ModuleList(
            LayerNorm2d(specs[i].channels) if out_norm else nn.Identity() for i in self.out_indices
        )
        self.apply(self._init_weights)
        self.freeze()

    def _build(self, specs: Sequence[StageSpec], in_channels: int, drop_path_rate: float, with_cp: bool) -> None:
        """Make stem and stages."""
        self.stem = self.make_stem(in_channels, specs[0].channels)
        self.stages = nn.ModuleList()
        rates = drop_path_rates(drop_path_rate, sum(spec.depth for spec in specs))
        channels, stride = specs[0].channels, STEM_STRIDE
        for spec in specs:
            stage = self.make_stage(channels, spec.stride // stride, spec, rates[: spec.depth])
            stage.with_cp = with_cp
            self.stages.append(stage)
            channels, stride, rates = spec.channels, spec.stride, rates[spec.depth :]

    def resolve_arch(self, arch: str | Arch) -> Arch:
        """Return an architecture by its name, or a dictionary as it is."""
        if not isinstance(arch, str):
            return arch
        if arch not in self.archs:
            raise ValueError(f"arch: expected one of {', '.join(self.archs)} or a dictionary, got {arch!r}")
        return self.archs[arch]

    def resolve_stages(self, arch: Arch, options: Mapping[str, Any]) -> list[StageSpec]:
        """Return the stages of an architecture, whose blocks have these options, or raise ValueError."""
        check_has(arch, {"dims", "depths", "expand"}, "arch:")
        for key in ("dims", "depths"):
            if len(arch[key]) != len(STRIDES):
                raise ValueError(f"arch: expected {len(STRIDES)} {key}, got {len(arch[key])}")
        options = {"expand": arch["expand"], **options}
        return [StageSpec(*numbers, options) for numbers in zip(arch["dims"], arch["depths"], STRIDES, strict=True)]

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return what makes the map of stride 4 from the image."""
        raise NotImplementedError

    def make_stage(self, in_channels: int, stride: int, spec: StageSpec, drop_path: Sequence[float]) -> Stage:
        """Return a stage.

        Args:
            in_channels: Channels of the map of the stage before, or of the stem.
            stride: 2 if it halves that map, else 1.
            spec: What the architecture says of it.
            drop_path: Rate of each block.
        """
        raise NotImplementedError

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module; for `nn.Module.apply`, which comes to the parts first and to their SSM last.

        Linear layers start as in the papers' code, convolutions as in torch.
        """
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, SSM):
            module.reset_parameters()

    # No type of the result: TorchScript has none for tuples of any length, and returns a list.
    def forward(self, x: Tensor):  # type: ignore[no-untyped-def]
        """Return the maps of `out_indices`, a tuple of tensors, for images (batch, in_channels, height, width)."""
        if not torch.jit.is_scripting() and self.training:
            fix_size_for_inductor(x)
        # Channels-last as the token blocks leave their maps, so that the convolutions need not turn them around.
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self.out_indices:
                maps.append(x)
        for number, norm in enumerate(self.out_norms):
            maps[number] = norm(maps[number])
        if torch.jit.is_scripting():
            return maps
        else:  # TorchScript would compile it without the `else`
            return tuple(maps)

    def train(self, mode: bool = True) -> "StagedBackbone":
        """Set the training mode, and keep frozen parts and (with `norm_eval`) batch normalisation out of it."""
        super().train(mode)
        self.freeze()
        if mode and self.norm_eval:
            use_running_statistics(self)
        return self

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay must leave alone, beside vectors; the form is timm's."""
        return no_weight_decay(self)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return the depth of a parameter and the number of layers; the form is mmpretrain's.

        The stem is layer 0, then comes a layer for each block, and the last one is all that follows: the returned maps'
        normalisations, and what does not stand in the backbone. A downsampling belongs to the block behind it.

        Args:
            param_name: Its name in the whole model.
            prefix: Of the backbone in it, such as 'backbone.'.
        """
        depths = [len(stage.blocks) for stage in self.stages]  # type: ignore[arg-type]
        last = sum(depths) + 1
        if not param_name.startswith(prefix):
            return last, last + 1
        part, *path = param_name.removeprefix(prefix).split(".")
        if part == "stem":
            return 0, last + 1
        if part != "stages":
            return last, last + 1
        block = int(path[2]) if path[1] == "blocks" else 0
        return sum(depths[: int(path[0])]) + block + 1, last + 1

    def freeze(self) -> None:
        """Take the frozen parts out of training."""
        for part in [self.stem, *self.stages][: self.frozen_stages + 1]:
            part.eval().requires_grad_(False)


def check_has(arch: Arch, keys: set[str], name: str) -> None:
    """Raise ValueError if a part of an architecture lacks some of these keys."""
    missing = keys - set(arch)
    if missing:
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")


def fix_size_for_inductor(images: Tensor) -> None:
    """Have `torch.compile` take height and width of images for constants where free ones would be its end.

    On a CPU, inductor of torch 2.11 prefers channels-last for the 4-D views that the backward pass needs, and compares
    expressions of free sizes to order their strides: "TypeError: cannot determine truth value of Relational"
    from `get_stride_order`, which it gives no `shape_env`. With constants each image size is compiled by itself. Call
    it in training only: whether a model is being exported, with free sizes, cannot be asked here
    (`torch.compiler.is_exporting` is always true under the compiler).
    """
    if torch.compiler.is_dynamo_compiling() and torch.is_grad_enabled() and images.device.type == "cpu":
        torch._dynamo.mark_static(images, 2)
        torch._dynamo.mark_static(images, 3)
