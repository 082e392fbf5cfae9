"""DF-Mamba: deformable state-space modeling for 3D hand pose estimation."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
SUBPACKAGES = ("apis", "codecs", "datasets", "engine", "evaluation", "io", "models", "ops", "synthesis",
               "visualization")


def __getattr__(name: str) -> Any:
    """Load a part of the package at its first use: `import dfmamba; dfmamba.ops`."""
    if name in SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *SUBPACKAGES})
