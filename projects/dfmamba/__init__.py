"""DF-Mamba: deformable state-space modeling for 3D hand pose estimation.

`import dfmamba` loads nothing else; `dfmamba.ops`, `dfmamba.models` and the other parts are loaded at their first use.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

__version__ = "0.1.0"  # pyproject.toml takes it from here
_PARTS = frozenset(part.name for part in iter_modules(__path__) if not part.name.startswith("_"))


def __getattr__(name: str) -> Any:
    """Load a part of the package."""
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})
