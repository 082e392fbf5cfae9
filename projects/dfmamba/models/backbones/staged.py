"""What backbones of a stem and stages share: which maps they return, and what does not train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base import BaseModule
from ..layers.norm import LayerNorm2d, use_running_statistics
from ..layers.weight_decay import no_weight_decay


class StagedBackbone(BaseModule):
    """Base of backbones that are a stem and stages, whose constructors set `stem` and `stages` and then call `finish`.

    Attributes:
        out_indices: Numbers of the stages whose maps are returned, from 0.
        stage_info: For each stage that is built dict(num_chs=channels, reduction=stride, module=its name).
        feature_info: The same for each returned map.
        frozen_stages: Stages that do not train: -1 none, 0 the stem, n the stem and the first n stages.
        norm_eval: Whether batch normalisation stays in evaluation mode while training.
    """

    __jit_unused_properties__ = ("is_init",)  # of mmengine's BaseModule, which TorchScript cannot compile

    if TYPE_CHECKING:  # TorchScript takes annotations for types of its own, and has none for these
        stem: nn.Module
        stages: nn.ModuleList
        out_indices: tuple[int, ...]
        frozen_stages: int
        norm_eval: bool

    def finish(self, channels: Sequence[int], strides: Sequence[int], out_norm: bool) -> None:
        """Describe the returned maps, and give each a layer normalisation of its own if `out_norm`.

        Args:
            channels: Of the map of each stage that is built.
            strides: Of the same maps against the image.
            out_norm: Whether the returned maps are normalised.
        """
        self.stage_info = [
            {"num_chs": width, "reduction": stride, "module": f"stages.{number}"}
            for number, (width, stride) in enumerate(zip(channels, strides, strict=True))
        ]
        self.feature_info = [self.stage_info[i] for i in self.out_indices]
        self.out_norms = nn.ModuleList(
            LayerNorm2d(channels[i]) if out_norm else nn.Identity() for i in self.out_indices
        )

    def forward(self, x: Tensor):  # no type: TorchScript has none for tuples of any length, and returns a list
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


def fix_size_for_inductor(images: Tensor) -> None:
    """Have `torch.compile` take height and width of images for constants where free ones would be its end.

    On a CPU, inductor of torch 2.11 prefers channels-last for the 4-D views that the backward pass needs, and compares
    expressions of free sizes to order their strides: "TypeError: cannot determine truth value of Relational" from
    `get_stride_order`, which it gives no `shape_env`. With constants each image size is compiled by itself. Call it in
    training only: whether a model is being exported, with free sizes, cannot be asked here
    (`torch.compiler.is_exporting` is always true under the compiler).
    """
    if torch.compiler.is_dynamo_compiling() and torch.is_grad_enabled() and images.device.type == "cpu":
        torch._dynamo.mark_static(images, 2)
        torch._dynamo.mark_static(images, 3)
