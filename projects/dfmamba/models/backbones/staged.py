"""What backbones of a stem and stages share: which maps they return, and what does not train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base import BaseModule
from ..layers.batch_norm import use_running_statistics
from ..layers.layer_norm import LayerNorm2d


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
        self.stage_info = [{"num_chs": width, "reduction": stride, "module": f"stages.{number}"}
                           for number, (width, stride) in enumerate(zip(channels, strides, strict=True))]
        self.feature_info = [self.stage_info[i] for i in self.out_indices]
        self.out_norms = nn.ModuleList(
            LayerNorm2d(channels[i]) if out_norm else nn.Identity() for i in self.out_indices
        )

    def forward(self, x: Tensor):  # no type: TorchScript has none for tuples of any length, and returns a list
        """Return the maps of `out_indices`, a tuple of tensors, for images (batch, in_channels, height, width)."""
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

    def freeze(self) -> None:
        """Take the frozen parts out of training."""
        for part in [self.stem, *self.stages][: self.frozen_stages + 1]:
            part.eval().requires_grad_(False)


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return the rate of each of `depth` blocks, growing linearly from 0 to `last`."""
    return [last * number / max(depth - 1, 1) for number in range(depth)]
