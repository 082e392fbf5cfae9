"""Any model of timm as a backbone: ResNet, ViT, Swin, ConvNeXt and some thousand others.

timm is optional (`pip install timm`) and imported when such a backbone is built. A model is asked for its levels with
timm's `feature_info` and `forward_intermediates`, which all its families have.

A plain vision transformer has one stride. With `pyramid=True` its last map makes three levels, see `SimplePyramid`:
stride 16 is the map itself, stride 8 a transposed convolution of it, stride 32 a max pooling.
"""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..base import BaseModule, register_backbone
from ..layers.norm import LayerNorm2d, use_running_statistics
from ..layers.simple_pyramid import SimplePyramid
from .levels import check_frozen, resolve_indices

# In messages of timm that are about what the user asked for.
USERS_MISTAKE = re.compile("unexpected keyword argument|No pretrained weights exist|loading state_dict for")

_logger = logging.getLogger(__name__)


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
        frozen_stages: Stages that do not train: -1 none, 0 the stem, n the stem and the first n stages, or blocks where
            there are no stages, as in ViT. These are the coarse groups of the model's `group_matcher`.
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
        ValueError: timm has no such model, the model has no levels, an index, the number of frozen stages, the pyramid,
            `with_cp` or an option does not fit it, or `checkpoint` is no file of its weights.
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
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(init_cfg)
        self.model = _create(model, pretrained, checkpoint, in_chans=in_channels, **options)
        # A trap: mmengine's `init_weights` calls that of every part that has one, as some of timm's do, and would throw
        # loaded weights away. It leaves out what says that this has been done.
        self.model.is_init = True
        self.norm_eval = norm_eval
        if with_cp:
            try:
                self.model.set_grad_checkpointing(True)
            except AssertionError as error:
                raise ValueError(f"with_cp: timm's {model} cannot recompute its blocks") from error

        levels = [{key: level[key] for key in ("num_chs", "reduction", "module")} for level in self.model.feature_info]
        self.out_indices = resolve_indices(out_indices, [level["reduction"] for level in levels])
        self.model.prune_intermediate_layers(list(self.out_indices), prune_norm=True)
        self.feature_info = [levels[index] for index in self.out_indices]
        self.pyramid: SimplePyramid | None = None
        if pyramid:
            if len(self.out_indices) != 1:
                raise ValueError(
                    f"pyramid: expected one level in out_indices, got {self.out_indices} of {model}, "
                    f"whose levels have the strides {[level['reduction'] for level in levels]}"
                )
            self.pyramid = SimplePyramid(self.feature_info[0]["num_chs"], self.feature_info[0]["reduction"])
            self.feature_info = self.pyramid.feature_info
        self.out_norms = nn.ModuleList(
            LayerNorm2d(info["num_chs"]) if out_norm else nn.Identity() for info in self.feature_info
        )
        self.frozen_stages = frozen_stages
        if frozen_stages != -1:
            self._freeze()
        self.train()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps described by `feature_info` for images (batch, in_channels, height, width)."""
        maps = self.model.forward_intermediates(x, indices=list(self.out_indices), intermediates_only=True)
        if self.pyramid is not None:
            maps = self.pyramid(maps[0])
        return tuple(norm(feature) for norm, feature in zip(self.out_norms, maps, strict=True))

    def _freeze(self) -> None:
        """Take the parameters of the frozen stages out of training."""
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=True), reverse=True)
        check_frozen(self.frozen_stages, max(groups.values()))
        for name, parameter in self.model.named_parameters():
            if groups[name] <= self.frozen_stages:
                parameter.requires_grad_(False)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return the depth of a parameter and the number of layers, as `StagedBackbone` does; timm knows its groups."""
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=False), reverse=True)
        last, own = max(groups.values()) + 1, f"{prefix}model."
        return groups[param_name.removeprefix(own)] if param_name.startswith(own) else last, last + 1

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Set the training mode; keep frozen parts and, with `norm_eval`, batch normalisation out of it."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for module in self.model.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
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
    weights: Mapping[str, Any] = {}
    if checkpoint is not None:
        path = Path(checkpoint).expanduser().absolute()
        weights = _read(path, name)
        pretrained, options["pretrained_cfg_overlay"] = True, {"file": str(path)}
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:400]
        if not isinstance(error, AssertionError) and not USERS_MISTAKE.search(reason):
            raise
        given = f"checkpoint: {path}" if checkpoint is not None else ", ".join(options)
        raise ValueError(f"timm's {name} cannot be built with {given}: {reason}") from error
    if not hasattr(model, "feature_info") or not hasattr(model, "forward_intermediates"):
        raise ValueError(f"model: timm's {name!r} does not give its levels; choose another")
    if checkpoint is not None:
        _compare(model, weights, f"checkpoint: {path}")
    return model


def _read(path: Path, name: str) -> Mapping[str, Any]:
    """Return the weights of a file that timm is to load; timm runs no code from it."""
    from timm.models import load_state_dict

    if not path.is_file():
        raise FileNotFoundError(f"checkpoint: expected a file with weights of {name}, there is none at {path}")
    try:
        return load_state_dict(str(path))
    except Exception as error:  # a damaged file may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"checkpoint: expected a file with weights of {name}, but {path} cannot be read as one ({reason})"
        ) from error


def _compare(model: nn.Module, weights: Mapping[str, Any], source: str) -> None:
    """Warn of the model's matrices that are not in the file, and raise ValueError if none is.

    timm loads what fits and says nothing. Compared are numbers, because it also renames.
    """

    def digest(matrix: Tensor) -> tuple[Any, float]:
        return matrix.shape, matrix.detach().double().sum().item()

    known = {digest(weight) for weight in weights.values() if isinstance(weight, Tensor) and weight.ndim > 1}
    matrices = {name: parameter for name, parameter in model.named_parameters() if parameter.ndim > 1}
    others = [name for name, matrix in matrices.items() if digest(matrix) not in known]
    if len(others) == len(matrices):
        raise ValueError(f"{source}: none of its weights fits the model. Is it the file of another model?")
    if others:
        _logger.warning(
            "%s: %d of %d weights are not in it as they are: timm has fitted them, or they are random: %s",
            source,
            len(others),
            len(matrices),
            ", ".join(others[:4]) + ", ..." * (len(others) > 4),
        )
