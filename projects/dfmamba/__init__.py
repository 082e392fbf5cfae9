"""DF-Mamba: deformable state-space modeling for 3D hand pose estimation.

`import dfmamba` loads nothing else; `dfmamba.ops`, `dfmamba.models` and the other parts are loaded at their first use.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__version__ = "0.1.0"  # pyproject.toml takes it from here


def __getattr__(name: str) -> Any:
    """Load a part of the package."""
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
