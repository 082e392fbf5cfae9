"""Which implementation of the operators runs: the choice, and what to say about it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from . import mamba_ssm_backend, triton_backend
from .ext_loader import LOAD_ERROR, cuda_architectures, has_kernels, runs_on
from .native import MAX_STATES

NAMES = ("reference", "cpu", "cuda", "triton", "mamba_ssm")
# The types of device that a backend runs on; triton_backend.py knows its own.
_DEVICES = {"cpu": ("cpu",), "cuda": ("cuda",), "mamba_ssm": ("cuda",)}
_MAX_STATES = {"cpu": MAX_STATES, "cuda": MAX_STATES, "mamba_ssm": mamba_ssm_backend.MAX_STATES}
# The types of device for which the extension holds kernels. Looked up once: torch.compile cannot trace the look-up.
_NATIVE = frozenset(name for name in ("cpu", "cuda") if has_kernels(name))

_logger = logging.getLogger(__name__)


@cache
def _gpu_reason_of(index: int) -> str | None:
    made_for, capability = cuda_architectures(), torch.cuda.get_device_capability(index)
    if not made_for or runs_on(made_for, capability):
        return None
    number = ".".join(map(str, capability))
    return (
        f"GPU {index} has compute capability {number}, and the native operators were built for "
        f"{', '.join(made_for)}; to build them for it: TORCH_CUDA_ARCH_LIST={number} FORCE_CUDA=1"
    )


def _gpu_reason(index: int) -> str | None:
    """Return why the CUDA kernels do not run on this GPU, or None."""
    return _gpu_reason_of(index)


# As torch.compiler.assume_constant_result does, which would import the whole compiler.
_gpu_reason._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _cuda_reason() -> str | None:
    """Return why the CUDA kernels cannot be used, or None."""
    if LOAD_ERROR is not None:
        return LOAD_ERROR
    if "cuda" not in _NATIVE:
        return "the native operators were built without CUDA; FORCE_CUDA=1 builds it where a CUDA toolkit is found"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    # Not before something else has started CUDA: a process that has may not be forked and use it in the child.
    return _gpu_reason(torch.cuda.current_device()) if torch.cuda.is_initialized() else None


def _reason(backend: str) -> str | None:
    """Return why the backend cannot be used, or None."""
    if backend == "mamba_ssm":
        return mamba_ssm_backend.reason()
    if backend == "triton":
        return triton_backend.reason()
    if backend == "cuda":
        return _cuda_reason()
    return LOAD_ERROR if backend == "cpu" else None


def available_backends() -> dict[str, str | None]:
    """Return every backend's name with None where it can be used, else with the reason why not."""
    return {name: _reason(name) for name in NAMES}


class _Asked(threading.local):
    """What the open `use_backend` blocks of a thread ask for, the innermost last.

    Not a context variable: torch.compile can neither read one nor compile again when it changes.
    """

    def __init__(self) -> None:
        self.names: tuple[str | None, ...] = ()


_asked = _Asked()


def check_backend(backend: str | None) -> None:
    """Raise ValueError unless the name is None or that of a backend that can be used here."""
    if backend is None:
        return
    if backend not in NAMES:
        raise ValueError(f"backend: expected None or one of {', '.join(NAMES)}, got {backend!r}")
    reason = _reason(backend)
    if reason is not None:
        raise ValueError(f"backend: {backend!r} is not available: {reason}")


@contextmanager
def use_backend(backend: str | None) -> Iterator[None]:
    """Run the operators called inside a `with` block, or in a decorated function, on one backend.

    An operator's own argument `backend`, which a backbone passes on, comes before it; an inner block comes before an
    outer one. Like `torch.no_grad` it holds for the thread that enters it, and so for whatever else runs on this thread
    before it is left, such as other tasks of an event loop where the block awaits something.

    Args:
        backend: A name from `available_backends`, or None for the best available.

    Raises:
        ValueError: The backend is unknown or not available.
    """
    check_backend(backend)
    _asked.names = (*_asked.names, backend)
    try:
        yield
    finally:  # take out our own name, not the last one: tasks of an event loop may leave in another order
        last = len(_asked.names) - 1 - _asked.names[::-1].index(backend)
        _asked.names = (*_asked.names[:last], *_asked.names[last + 1 :])


@cache
def _log(level: int, message: str) -> None:
    """Log a message, each one once."""
    _logger.log(level, message)


def _obstacle(backend: str, x: Tensor, num_states: int, forward_mode: bool) -> str | None:
    """Return what the backend expects of a call and this one does not have, or None."""
    if backend == "reference":
        return None
    devices = triton_backend.devices() if backend == "triton" else _DEVICES[backend]
    if x.device.type not in devices:
        return f"tensors on a {' or '.join(devices)} device, got {x.device.type}"
    if num_states > _MAX_STATES.get(backend, num_states):
        return f"N of at most {_MAX_STATES[backend]}, got {num_states}; 'reference' has no limit"
    if backend == "cuda" and (reason := _gpu_reason(x.device.index)) is not None:
        return f"another GPU: {reason}"
    if backend == "triton" and (reason := triton_backend.capability_reason(x.device)) is not None:
        return reason
    if backend == "triton" and torch.jit.is_tracing():
        return "no torch.jit.trace, which records the sizes as numbers; 'reference' can be traced"
    if forward_mode:
        return "no forward-mode derivatives (jvp, jacfwd, dual numbers), got some; 'reference' has them"
    if backend == "mamba_ssm" and x.dtype == torch.float64:
        return "float32, float16 or bfloat16, got float64; 'reference' and 'cuda' take it"
    return None


def choose(backend: str | None, x: Tensor, num_states: int = 1, forward_mode: bool = False) -> str:
    """Return the backend to use for x: that of the argument, else of `use_backend`, else the best for this call.

    Args:
        backend: The argument of the call.
        x: The input of the operator.
        num_states: N of the scan.
        forward_mode: Whether forward-mode derivatives are under way.

    Raises:
        ValueError: The backend is unknown, not available, or not for such a call.
    """
    if backend is None and _asked.names:
        backend = _asked.names[-1]
    if backend is None:
        return best(x, num_states, forward_mode)
    check_backend(backend)
    obstacle = _obstacle(backend, x, num_states, forward_mode)
    if obstacle is not None:
        raise ValueError(f"backend: {backend!r} expects {obstacle}")
    return backend


def best(x: Tensor, num_states: int = 1, forward_mode: bool = False) -> str:
    """Return the best backend that takes such a call, and say once why it is not a better one.

    That is the native kernels of the device of x, else on a GPU those in Triton, else 'reference'.
    """
    device = x.device.type
    if device not in ("cpu", "cuda", "xpu"):
        return "reference"
    missing = _why_no_kernels(device)
    obstacle = missing or _obstacle(device, x, num_states, forward_mode)
    if obstacle is None:
        return device
    why = obstacle if missing else f"the native kernels expect {obstacle}"
    found = "reference"
    if device != "cpu":
        missing = triton_backend.reason()
        if missing is not None:
            why = f"{why}; {missing}"
        elif _obstacle("triton", x, num_states, forward_mode) is None:
            found = "triton"
    if not torch.compiler.is_compiling():
        if found == "triton":
            _log(logging.INFO, f"running the kernels in Triton, not the native ones: {why}")
        else:
            _log(logging.WARNING, f"running on the slow reference: {why}")
    return found


def _why_no_kernels(device: str) -> str | None:
    """Return why there are no native kernels for this type of device, or None."""
    if device in _NATIVE:
        return None
    if device == "xpu":
        return "there are no native operators for this GPU"
    return LOAD_ERROR or _cuda_reason()
