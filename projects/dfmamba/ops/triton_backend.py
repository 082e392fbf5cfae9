"""The operators in Triton, `torch.ops.dfmamba_triton.*`: for GPUs without our compiled kernels, ROCm's and Intel's too.

Signatures and rules are those of the native operators (csrc/README.md), but nothing here checks arguments: call
`dfmamba.ops`. `dssm` is the sampling and the scan one after the other. N has no limit. Deterministic: no atomics.

The kernels are in triton_sampling.py and triton_scan.py, which are imported at the first use: Triton need not be there.
With TRITON_INTERPRET=1 in the environment its interpreter runs them on CPU tensors, about a thousand times slower than
the reference: for tests.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, wraps
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from . import native

LOWEST_CAPABILITY = (7, 0)  # as for torch.compile, "GPUTooOldForTriton" in torch._inductor


# --- Whether it can run -----------------------------------------------------------------------------------------------


@cache
def _import_kernels() -> str | bool:
    """Import the kernels; return whether they run in Triton's interpreter, or the reason why they cannot be had."""
    if find_spec("triton") is None:
        return "Triton is not installed; torch's wheels for GPUs bring it, elsewhere: pip install triton"
    try:
        sampling = importlib.import_module(f"{__package__}.triton_sampling")
        importlib.import_module(f"{__package__}.triton_scan")
        language = importlib.import_module("triton.language")
    except Exception as error:  # of another version, or of a broken installation
        return f"Triton cannot be imported ({type(error).__name__}: {error})"
    if type(sampling.sample_kernel) is not type(language.sum):
        return "TRITON_INTERPRET was changed after Triton had been imported; set it before Python starts"
    return type(language.sum).__name__ == "InterpretedFunction"


@cache
def _driver_reason() -> str | None:
    """Return why Triton cannot launch kernels on the GPU, or None; it builds its launcher with a C compiler."""
    try:
        importlib.import_module("triton").runtime.driver.active.get_current_target()
    except Exception as error:  # what it raises differs by version and platform
        return f"Triton cannot use the GPU ({type(error).__name__}: {error})"
    return None


def reason() -> str | None:
    """Return why this backend cannot be used, or None."""
    gpus = [module for module in (torch.cuda, torch.xpu) if module.is_available()]
    if not gpus and "TRITON_INTERPRET" not in os.environ:  # then do not import it
        return "Triton needs a GPU; its interpreter, which TRITON_INTERPRET=1 turns on, runs on CPU tensors (for tests)"
    interpreted = _import_kernels()
    if isinstance(interpreted, str):
        return interpreted
    if interpreted:
        return None
    if not gpus:
        return "Triton needs a GPU, or TRITON_INTERPRET=1 to run in its interpreter on CPU tensors (for tests)"
    # Not before something else has started the GPU: a process that has may not be forked and use it in the child.
    return _driver_reason() if any(module.is_initialized() for module in gpus) else None


def devices() -> tuple[str, ...]:
    """Return the types of device that it runs on; the caller has asked for the reason."""
    return ("cpu",) if _import_kernels() is True else ("cuda", "xpu")


def capability_reason(device: torch.device) -> str | None:
    """Return why it does not run on this GPU, or None."""
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    capability = torch.cuda.get_device_capability(device.index)
    if capability >= LOWEST_CAPABILITY:
        return None
    lowest, found = (".".join(map(str, numbers)) for numbers in (LOWEST_CAPABILITY, capability))
    return f"compute capability {lowest} or later, got {found}"


# As torch.compiler.assume_constant_result does, which would import the whole compiler.
for _function in (reason, devices, capability_reason):
    setattr(_function, "_dynamo_marked_constant", True)  # noqa: B010  (mypy knows no attributes of functions)


# --- The operators ----------------------------------------------------------------------------------------------------


def _operator(function: Callable[..., Any]) -> Any:
    """Register a function as the operator of its name, to run on the device of its first argument."""

    @wraps(function)
    def on_its_device(first: Tensor, *rest: Any) -> Any:
        gpu = {"cuda": torch.cuda, "xpu": torch.xpu}.get(first.device.type)
        with nullcontext() if gpu is None else gpu.device(first.device):
            return function(first, *rest)

    return torch.library.custom_op(f"dfmamba_triton::{function.__name__}", on_its_device, mutates_args=())


def _work_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


@_operator
def sample(x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
    """Gather u."""
    from . import triton_sampling

    return triton_sampling.deform_sample(x, offset, weight, size, x.dtype)


@_operator
def sample_backward(
    grad_u: Tensor, x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, offset and weight."""
    from . import triton_sampling

    return triton_sampling.deform_sample_backward(grad_u, x, offset, weight, size)


@_operator
def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    x: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Run the recurrence; D multiplies x, or u where x is None."""
    from . import triton_scan

    return triton_scan.selective_scan(u, delta, A, B, C, D, delta_bias, x, delta_softplus, u.dtype)


@_operator
def scan_backward(
    grad_y: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    x: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of u, delta, A, B, C, D, delta_bias and x; that of an absent one is empty."""
    from . import triton_scan

    return triton_scan.selective_scan_backward(grad_y, u, delta, A, B, C, D, delta_bias, x, delta_softplus)


@_operator
def dssm(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: Sequence[int],
    delta_softplus: bool,
) -> Tensor:
    """Sample and scan; u is not rounded in between."""
    from . import triton_sampling, triton_scan

    u = triton_sampling.deform_sample(x, offset, weight, size, _work_dtype(x))
    return triton_scan.selective_scan(u, delta, A, B, C, D, delta_bias, x, delta_softplus, x.dtype)


@_operator
def dssm_backward(
    grad_y: Tensor,
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: Sequence[int],
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gather u again, then go back through the scan and the sampling; neither u nor its gradient is rounded."""
    from . import triton_sampling, triton_scan

    work = x.to(_work_dtype(x))
    u = triton_sampling.deform_sample(work, offset, weight, size, work.dtype)
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, grad_skip = triton_scan.selective_scan_backward(
        grad_y, u, delta, A, B, C, D, delta_bias, None if D is None else work, delta_softplus
    )
    del u  # of the size of x: its memory can hold the next result
    grad_x, grad_offset, grad_weight = triton_sampling.deform_sample_backward(grad_u, work, offset, weight, size)
    if D is not None:
        grad_x += grad_skip
    grad_x = grad_x.to(x.dtype)
    return grad_x, grad_offset, grad_weight, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias


@_operator
def deformable_attention(value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]) -> Tensor:
    """Read the levels; `sizes` holds height and width of one after the other."""
    from . import triton_sampling

    return triton_sampling.attention(value, locations, weights, sizes)


@_operator
def deformable_attention_backward(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights."""
    from . import triton_sampling

    return triton_sampling.attention_backward(grad_output, value, locations, weights, sizes)


native.register("dfmamba_triton")
for _name in native.SHAPES:
    _setup_context, _backward = native.autograd_rule(_name, torch.ops.dfmamba_triton)
    torch.library.register_autograd(f"dfmamba_triton::{_name}", _backward, setup_context=_setup_context)
