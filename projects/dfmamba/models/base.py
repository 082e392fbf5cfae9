"""What a backbone needs of mmengine, or a stand-in where only torch is installed."""

from typing import Any

try:
    from mmengine.model import BaseModule
    from mmengine.registry import MODELS as _ROOT_MODELS

    from . import mmengine_counter  # tells mmengine's counter of operations

    register_backbone = _ROOT_MODELS.register_module()
except ImportError:
    from torch import nn

    class BaseModule(nn.Module):  # type: ignore[no-redef]
        """An `nn.Module` with mmengine's constructor."""

        def __init__(self, init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None) -> None:
            super().__init__()
            if init_cfg is not None:
                raise ValueError("init_cfg: needs mmengine, which is not installed; use load_state_dict instead")

    def register_backbone(module: type) -> type:
        """Return the class as it is: without mmengine there is no registry."""
        return module


__all__ = ["BaseModule", "mmengine_counter", "register_backbone"]
