"""Loads the compiled operators, `torch.ops.dfmamba.*`, and remembers why where that fails.

They are loaded when `dfmamba.ops` is imported and not at the first call, because torch.compile cannot trace the loading
of a library. Loading takes about a millisecond and never raises.
"""

import importlib
import re

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


def cuda_architectures() -> tuple[str, ...]:
    """Return what the CUDA kernels were compiled for, such as ('sm_80', 'compute_80'); empty if that is not known."""
    named = torch.ops.dfmamba.cuda_architectures() if has_kernels("cuda") else ""
    return tuple(re.findall(r"(?:sm|compute)_\d+[a-z]?", named))


def runs_on(architectures: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Return whether kernels compiled for these architectures run on a GPU of this compute capability.

    Machine code (sm) runs on its own major version, from its own minor version on; PTX (compute) on all later ones;
    what has a letter behind its number on no other. Source: CUDA C++ Programming Guide, "Binary Compatibility", "PTX
    Compatibility".
    """
    for name in architectures:
        kind, number = name.split("_")
        made_for = (int(number.rstrip("af")[:-1]), int(number.rstrip("af")[-1]))
        later_too = number.isdigit()
        same_major = kind == "compute" or made_for[0] == capability[0]
        if capability == made_for or (later_too and same_major and capability > made_for):
            return True
    return False
