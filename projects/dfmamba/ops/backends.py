"""Which implementation of the operators runs: the choice, and what to say about it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from . import mamba_ssm_backend
from .ext_loader import LOAD_ERROR, has_kernels
from .native import MAX_STATES

NAMES = ("reference", "cpu", "cuda", "mamba_ssm")
# The types of device for which the extension holds kernels. Looked up once: torch.compile cannot trace the look-up.
_NATIVE = frozenset(name for name in ("cpu", "cuda") if has_kernels(name))

_logger = logging.getLogger(__name__)


def _cuda_reason() -> str | None:
    """Return why the CUDA kernels cannot be used, or None."""
    if LOAD_ERROR is not None:
        return LOAD_ERROR
    if "cuda" not in _NATIVE:
        return "the native operators were built without CUDA; FORCE_CUDA=1 builds it where a CUDA toolkit is found"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def _reason(backend: str) -> str | None:
    """Return why the backend cannot be used, or None."""
    if backend == "mamba_ssm":
        return mamba_ssm_backend.reason()
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
def _warn(message: str) -> None:
    """Log a warning, each one once."""
    _logger.warning(message)


def choose(backend: str | None, x: Tensor, num_states: int = 1) -> str:
    """Return the backend to use for x: that of the argument, else of `use_backend`, else the best for the device of x.

    Raises:
        ValueError: The backend is unknown, not available, or not for this device or number of states.
    """
    device = x.device.type
    if backend is None and _asked.names:
        backend = _asked.names[-1]
    if backend is None:
        return _best(device, num_states)
    check_backend(backend)
    wanted = {"cpu": "cpu", "cuda": "cuda", "mamba_ssm": "cuda"}.get(backend, device)
    if device != wanted:
        raise ValueError(f"backend: {backend!r} expects tensors on a {wanted} device, got {device}")
    if backend in ("cpu", "cuda") and num_states > MAX_STATES:
        raise ValueError(f"backend: {backend!r} expects N of at most {MAX_STATES}, got {num_states}; 'reference' has "
                         f"no limit")
    return backend


def _best(device: str, num_states: int) -> str:
    """Return the native kernels of the device, else 'reference'; say once what is missing."""
    if device in _NATIVE and num_states <= MAX_STATES:
        return device
    if device in ("cpu", "cuda") and not torch.compiler.is_compiling():
        if num_states > MAX_STATES:
            _warn(f"DSSM with N = {num_states} runs on the slow reference: the native kernels take N up to "
                  f"{MAX_STATES}")
        else:
            _warn(f"DSSM runs on the slow reference: {LOAD_ERROR if LOAD_ERROR else _cuda_reason()}")
    return "reference"
