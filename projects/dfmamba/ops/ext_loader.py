"""Loads the compiled operators, `torch.ops.dfmamba.*`, and remembers why where that fails.

They are loaded when `dfmamba.ops` is imported and not at the first call, because torch.compile cannot trace the loading
of a library. Loading takes about a millisecond and never raises.
"""

import importlib

import torch

HOW_TO_BUILD = "to build them: MAX_JOBS=2 pip install --no-build-isolation -e . (a C++ compiler is needed)"


def _load() -> str | None:
    """Load the extension; return None, or the reason why it cannot be had."""
    try:
        importlib.import_module("dfmamba._C")
    except ImportError as error:
        return f"the native operators are not built or do not load ({error}); {HOW_TO_BUILD}"
    return None


# The reason why there are no native operators, or None.
LOAD_ERROR = _load()


def has_kernels(device_type: str) -> bool:
    """Return whether the loaded extension holds kernels for this type of device, 'cpu' or 'cuda'."""
    key = {"cpu": "CPU", "cuda": "CUDA"}[device_type]
    return LOAD_ERROR is None and torch._C._dispatch_has_kernel_for_dispatch_key("dfmamba::dssm", key)
