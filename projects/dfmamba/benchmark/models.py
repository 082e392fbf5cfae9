"""The models that `tools/benchmark.py` times, by name: torchvision's, timm's, ours, and those of configs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from dfmamba.errors import UserError
from dfmamba.models import backbones
from dfmamba.models.backbones import ARCHS, DFMamba
from dfmamba.models.cost import RawEstimator

BACKBONE_OF = ".py:backbone"


def torchvision_backbone(name: str) -> nn.Module:
    """Return a ResNet of torchvision without pooling and classifier."""
    import torchvision.models

    return nn.Sequential(*list(getattr(torchvision.models, name)(weights=None).children())[:-2])


def timm_backbone(name: str, size: int) -> nn.Module:
    """Return a timm model without its classifier, for square images of `size` px."""
    import timm

    try:
        return timm.create_model(name, features_only=True, img_size=size)
    except TypeError:  # convolutional models take any size and do not know the argument
        return timm.create_model(name, features_only=True)


def build_from_config(path: str) -> nn.Module:
    """Return the estimator of a config."""
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.engine.config import load_config

    config = load_config(path)
    init_default_scope(config.default_scope)
    return MODELS.build(config.model)


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(torchvision_backbone, name) for name in ("resnet18", "resnet50")},
    **{f"dfmamba_{arch}": partial(DFMamba, arch) for arch in ARCHS},
    **{f"vmamba_{arch}": partial(backbones.VMamba, arch) for arch in backbones.VMAMBA_ARCHS},
    **{f"spatial_mamba_{arch}": partial(backbones.SpatialMamba, arch) for arch in backbones.SPATIAL_MAMBA_ARCHS},
}


def build(name: str, size: int) -> nn.Module:
    """Return a model by its name: one of BACKBONES, `timm:<model>`, the path of a config, or path:backbone.

    Raises:
        UserError: There is no such model.
    """
    torch.manual_seed(0)
    if name.endswith(".py"):
        return RawEstimator(build_from_config(name)).eval()
    if name.endswith(BACKBONE_OF):
        return build_from_config(name.removesuffix(":backbone")).get_submodule("backbone").eval()
    if name.startswith("timm:"):
        return timm_backbone(name.removeprefix("timm:"), size).eval()
    if name not in BACKBONES:
        raise UserError(
            f"model: expected one of {', '.join(BACKBONES)}, timm:<model>, a config or <config>:backbone, got {name!r}"
        )
    return BACKBONES[name]().eval()


def label(name: str) -> str:
    """Return a model's name as the table shows it: a config without folder and ending."""
    if name.endswith(BACKBONE_OF):
        return f"{Path(name).stem} backbone"
    return Path(name).stem if name.endswith(".py") else name
