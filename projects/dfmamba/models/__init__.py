"""Models. The backbone needs torch alone; `heads`, `necks` and `estimators` need mmpose and are imported by name."""

from .backbones import DFMamba

__all__ = ["DFMamba"]
