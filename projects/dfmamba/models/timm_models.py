"""DF-Mamba as a model of timm. Importing this needs timm (`pip install timm`) and registers the models there.

    import timm
    import dfmamba.models.timm_models
    classifier = timm.create_model('dfmamba_tiny', num_classes=10)
    backbone = timm.create_model('dfmamba_tiny', features_only=True)

The arguments of `DFMamba` go in as keywords: `num_anchors=25`, `drop_path_rate=0.1`. There are no pretrained weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from .backbones import DFMamba
from .backbones.levels import resolve_indices
from .classifier import ImageClassifier

__all__ = ["DFMambaClassifier"]

LAST_OF_STRIDE = (0, 1, 3, 5)  # the last stages of the strides 4, 8, 16 and 32


class DFMambaClassifier(ImageClassifier):
    """DF-Mamba with a classifier, and with what timm asks of its models.

    Args:
        arch: As for `DFMamba`.
        num_classes: As for `ImageClassifier`.
        in_chans: Channels of the image.
        drop_rate: As for `ImageClassifier`.
        **options: Further arguments of `DFMamba`.

    Attributes:
        feature_info: For each stage dict(num_chs=channels, reduction=stride, module=its name).
    """

    def __init__(
        self, arch: str = "tiny", num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0, **options: Any
    ) -> None:
        super().__init__(DFMamba(arch, in_chans, out_indices=(-1,), **options), num_classes, drop_rate)
        self.feature_info = [dict(info, module=f"backbone.{info['module']}") for info in self.backbone.stage_info]
    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the maps of some stages, and in front of them the last map unless `intermediates_only`.

        Args:
            x: Images (batch, in_chans, height, width).
            indices: Stages from 0 (from the end if negative); a number for as many last ones; None for all.
            norm: Normalise the map of the last stage, as it is for the classifier.
            stop_early: Leave out the stages behind the last one asked for.
            output_fmt: 'NCHW', the only one there is.
            intermediates_only: Leave out the last map.

        Raises:
            ValueError: `output_fmt` is another.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt: expected 'NCHW', got {output_fmt!r}")
        wanted, final = self._take(indices), len(self.feature_info) - 1
        stages = self.backbone.stages[: wanted[-1] + 1] if stop_early else self.backbone.stages
        x, maps = self.backbone.stem(x.contiguous(memory_format=torch.channels_last)), []
        for number, stage in enumerate(stages):
            x = stage(x)
            if number in wanted:
                maps.append(self.backbone.out_norms[0](x) if norm and number == final else x)
        if intermediates_only:
            return maps
        return self.backbone.out_norms[0](x) if len(stages) > final else x, maps

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what `forward_intermediates` does not need for these stages, and return their numbers."""
        wanted = self._take(indices)
        self.backbone.stages = self.backbone.stages[: wanted[-1] + 1]
        if prune_norm or len(self.backbone.stages) < len(self.feature_info):
            self.backbone.out_norms = nn.ModuleList([nn.Identity()])
        if prune_head:
            self.reset_classifier(0)
        return wanted

    def _take(self, indices: int | Sequence[int] | None) -> list[int]:
        """Return the numbers of the stages that `indices` means, in rising order."""
        count = len(self.feature_info)
        if indices is None or isinstance(indices, int):
            return list(range(count))[-(indices or count):]
        return list(resolve_indices(indices, [info["reduction"] for info in self.feature_info]))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks in the backward pass to save memory, or do not."""
        for stage in self.backbone.stages:
            stage.with_cp = enable

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay would pull towards a meaningless 0: the scan's decays."""
        return {name for name, _ in self.named_parameters() if name.endswith("A_log")}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns that sort parameters by depth, for a learning rate that falls with it."""
        blocks: list[tuple[str, tuple[int, ...] | None]] = [(r"^backbone\.stages\.(\d+)", None)]
        if not coarse:
            blocks = [(r"^backbone\.stages\.(\d+)\.downsample", (0,)),
                      (r"^backbone\.stages\.(\d+)\.blocks\.(\d+)", None)]
        return {"stem": r"^backbone\.stem", "blocks": [*blocks, (r"^backbone\.out_norms", (99999,))]}


def _cfg() -> dict[str, Any]:
    """Return timm's description of the input and of the layers that it may exchange."""
    return {
        "url": "", "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.9,
        "interpolation": "bicubic", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
        "first_conv": "backbone.stem.0", "classifier": "head",
    }


default_cfgs = generate_default_cfgs({f"dfmamba_{arch}": _cfg() for arch in ("nano", "tiny", "small", "base")})


def _create(arch: str, pretrained: bool, **options: Any) -> nn.Module:
    """Return the model in the form that timm's options ask for."""
    return build_model_with_cfg(
        DFMambaClassifier, f"dfmamba_{arch}", pretrained, arch=arch,
        feature_cfg={"out_indices": LAST_OF_STRIDE, "feature_cls": "getter"}, **options,
    )


@register_model
def dfmamba_nano(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return the size for tests and demos."""
    return _create("nano", pretrained, **options)


@register_model
def dfmamba_tiny(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return the size of the paper."""
    return _create("tiny", pretrained, **options)


@register_model
def dfmamba_small(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return a size above the paper's."""
    return _create("small", pretrained, **options)


@register_model
def dfmamba_base(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return the largest size."""
    return _create("base", pretrained, **options)
