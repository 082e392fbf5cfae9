"""The backbones as models of timm. Importing this needs timm (`pip install timm`) and registers the models there.

    import timm
    import dfmamba.models.timm_models
    classifier = timm.create_model('dfmamba_tiny', num_classes=10)
    backbone = timm.create_model('dfmamba_tiny', features_only=True)     # strides 4, 8, 16, 32

There are `dfmamba_*`, `vmamba_*` and `spatial_mamba_*`, each as nano, tiny, small and base. Arguments of the backbone's
class go in as keywords: `num_anchors=25`, `drop_path_rate=0.1`. There are no pretrained weights.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from .backbones import ARCHS, SPATIAL_MAMBA_ARCHS, VMAMBA_ARCHS, DFMamba, SpatialMamba, VMamba
from .backbones.staged import StagedBackbone
from .classifier import ImageClassifier

FAMILIES: dict[str, tuple[type[StagedBackbone], Any, str]] = {  # class, architectures, name of the first convolution
    "dfmamba": (DFMamba, ARCHS, "stem.0"),
    "vmamba": (VMamba, VMAMBA_ARCHS, "stem.0"),
    "spatial_mamba": (SpatialMamba, SPATIAL_MAMBA_ARCHS, "stem.reduce.0"),
}
FEATURES = {"out_indices": (0, 1, 2, 3), "feature_cls": "getter", "flatten_sequential": True}


def _cfg(first_conv: str) -> dict[str, Any]:
    """Return timm's description of the input and of the layers that it may exchange."""
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "first_conv": first_conv,
        "classifier": "head.fc",
    }


def _build(
    backbone: Callable[..., StagedBackbone],
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    img_size: int | tuple[int, int] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> ImageClassifier:
    """Return a model from the arguments that timm's models have in common and the backbone's own.

    Any image size works, so `img_size` changes nothing; timm remembers it for the data.
    """
    with nullcontext() if device is None else torch.device(device):
        parts = backbone(in_channels=in_chans, out_indices=(-1,), **options)
        return ImageClassifier(parts, num_classes, global_pool, drop_rate).to(dtype=dtype)


def _register(name: str, backbone: type[StagedBackbone], arch: str) -> Callable[..., nn.Module]:
    """Make a model known to timm, and return the function that builds it."""

    def create(pretrained: bool = False, feature_cfg: dict[str, Any] | None = None, **options: Any) -> nn.Module:
        return build_model_with_cfg(
            _build,
            name,
            pretrained,
            feature_cfg={**FEATURES, **(feature_cfg or {})},
            **{"backbone": backbone, "arch": arch, **options},
        )

    create.__name__ = create.__qualname__ = name  # timm's key
    return register_model(create)


default_cfgs = generate_default_cfgs(
    {f"{family}_{arch}": _cfg(first_conv) for family, (_, archs, first_conv) in FAMILIES.items() for arch in archs}
)
for _family, (_backbone, _archs, _) in FAMILIES.items():
    for _arch in _archs:
        globals()[f"{_family}_{_arch}"] = _register(f"{_family}_{_arch}", _backbone, _arch)
