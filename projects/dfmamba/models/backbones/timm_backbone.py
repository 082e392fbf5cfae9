"""Any model of timm as a backbone: ResNet, ViT, Swin, ConvNeXt and some thousand others.

timm is optional (`pip install timm`) and imported when such a backbone is built. A model is asked for its levels with
timm's `feature_info` and `forward_intermediates`, which all its families have.

A plain vision transformer has one stride. With `pyramid=True` its last map makes three levels, see `SimplePyramid`:
stride 16 is the map itself, stride 8 a transposed convolution of it, stride 32 a max pooling.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..base import BaseModule, register_backbone
from ..layers.batch_norm import use_running_statistics
from ..layers.layer_norm import LayerNorm2d
from ..layers.simple_pyramid import SimplePyramid
from .levels import resolve_indices


@register_backbone
class TimmBackbone(BaseModule):
    """A backbone from timm.

    Feature maps go out as (batch, channels, height, width), whatever the model's own layout.

    Args:
        model: timm's name of the model, such as 'resnet50' or 'swin_tiny_patch4_window7_224'.
        in_channels: Channels of the image; timm fits the first layer of loaded weights to another number than theirs.
        out_indices: Levels of the model's `feature_info` that are returned, from 0; None for the last level of each of
            the strides 8 and up. What lies behind the last of them is not kept.
        pretrained: Load timm's weights for that name; timm downloads them if it has not done so before.
        checkpoint: A file with weights of the model as timm saves them, a classifier's or not; loaded in place of
            timm's own. Position embeddings are fitted to the image size by timm.
        pyramid: Make maps of half, the same and double the stride from the last map: for models with one stride.
        out_norm: Whether each returned map passes a layer normalisation of its own. Transformers and ConvNeXt want it,
            because what is read from between their stages has not been normalised.
        norm_eval: Keep all batch normalisation in evaluation mode while training.
        with_cp: Recompute the blocks in the backward pass to save memory (gradient checkpointing).
        init_cfg: mmengine's initialisation, such as `dict(type='Pretrained', checkpoint=...)`, for weights saved from
            this class; for weights from timm use `checkpoint`.
        **options: Further arguments of the model, such as `drop_path_rate`, or `img_size=256` for ViT and Swin, which
            are built for one image size (`dynamic_img_size=True`: any size).

    Attributes:
        feature_info: For each returned map dict(num_chs=channels, reduction=stride, module=name of what makes it).

    Raises:
        ImportError: timm is not installed.
        ValueError: timm has no such model, the model has no levels, or an index or the pyramid does not fit it.
        FileNotFoundError: There is no file `checkpoint`.
    """

    OPEN_KEYWORDS = True  # for the check of configs: `options` go to timm, not to the base class

    def __init__(
        self,
        model: str,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        pretrained: bool = False,
        checkpoint: str | Path | None = None,
        pyramid: bool = False,
        out_norm: bool = False,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(init_cfg)
        self.model = _create(model, pretrained, checkpoint, in_chans=in_channels, **options)
        # A trap: mmengine's `init_weights` calls that of every part that has one, as some of timm's do, and would throw
        # loaded weights away. It leaves out what says that this has been done.
        self.model.is_init = True
        self.norm_eval = norm_eval
        if with_cp:
            self.model.set_grad_checkpointing(True)

        levels = [{key: level[key] for key in ("num_chs", "reduction", "module")} for level in self.model.feature_info]
        self.out_indices = resolve_indices(out_indices, [level["reduction"] for level in levels])
        self.model.prune_intermediate_layers(list(self.out_indices), prune_norm=True)
        self.feature_info = [levels[index] for index in self.out_indices]
        self.pyramid: SimplePyramid | None = None
        if pyramid:
            if len(self.out_indices) != 1:
                raise ValueError(f"pyramid: expected one level in out_indices, got {self.out_indices} of {model}, "
                                 f"whose levels have the strides {[level['reduction'] for level in levels]}")
            self.pyramid = SimplePyramid(self.feature_info[0]["num_chs"], self.feature_info[0]["reduction"])
            self.feature_info = self.pyramid.feature_info
        self.out_norms = nn.ModuleList(
            LayerNorm2d(info["num_chs"]) if out_norm else nn.Identity() for info in self.feature_info
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps described by `feature_info` for images (batch, in_channels, height, width)."""
        maps = self.model.forward_intermediates(x, indices=list(self.out_indices), intermediates_only=True)
        if self.pyramid is not None:
            maps = self.pyramid(maps[0])
        return tuple(norm(feature) for norm, feature in zip(self.out_norms, maps, strict=True))

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Set the training mode; with `norm_eval` keep batch normalisation out of it."""
        super().train(mode)
        if mode and self.norm_eval:
            use_running_statistics(self)
        return self


def _create(name: str, pretrained: bool, checkpoint: str | Path | None, **options: Any) -> Any:
    """Return timm's model without its classifier, with the weights asked for."""
    try:
        import timm
    except ImportError as error:
        raise ImportError("TimmBackbone needs timm, which is optional: pip install timm") from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(f"model: timm has no {name!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    if checkpoint is not None:
        path = Path(checkpoint).expanduser().absolute()
        if not path.is_file():
            raise FileNotFoundError(f"checkpoint: expected a file with weights of {name}, there is none at {path}")
        pretrained, options["pretrained_cfg_overlay"] = True, {"file": str(path)}
    model = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    if not hasattr(model, "feature_info") or not hasattr(model, "forward_intermediates"):
        raise ValueError(f"model: timm's {name!r} does not give its levels; choose another")
    return model
