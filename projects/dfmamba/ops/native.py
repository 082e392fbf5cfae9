"""What torch must know about the native operators beside their kernels: shapes for tracing, and gradients.

Registered where the extension is loaded. The operators are declared in csrc/ops.cpp; csrc/README.md has their rules.
"""

from typing import Any

import torch
from torch import Tensor

from .ext_loader import LOAD_ERROR

MAX_STATES = 64  # of the kernels

ops = torch.ops.dfmamba


def _work_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


# --- Shapes: like the kernels, all results are new and contiguous ---


def _contiguous(like: Tensor) -> Tensor:
    return like.new_empty(like.shape)


def _sample_shape(x, offset, weight, size):
    return _contiguous(x)


def _sample_backward_shape(grad_u, x, offset, weight, size):
    return _contiguous(x), _contiguous(offset), _contiguous(weight)


def _scan_shape(u, delta, A, B, C, D, delta_bias, x, delta_softplus):
    return _contiguous(u)


def _scan_backward_shape(grad_y, u, delta, A, B, C, D, delta_bias, x, delta_softplus):
    none = u.new_empty(0, dtype=_work_dtype(u))
    grads = [_contiguous(tensor) for tensor in (u, delta, A, B, C)]
    for vector in (D, delta_bias):
        grads.append(_contiguous(none if vector is None else vector))
    return *grads, u.new_empty(0) if x is None else _contiguous(x)


def _dssm_shape(x, offset, weight, delta, A, B, C, D, delta_bias, size, delta_softplus):
    return _contiguous(x)


# --- Gradients ---


def _save(ctx: Any, inputs: tuple, output: Tensor, num_tensors: int) -> None:
    """Keep the tensors for the backward pass, and what follows them as `ctx.options`."""
    ctx.save_for_backward(*inputs[:num_tensors])
    ctx.options = inputs[num_tensors:]


def _save_sample(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _save(ctx, inputs, output, 3)


def _save_scan(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _save(ctx, inputs, output, 8)


def _save_dssm(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _save(ctx, inputs, output, 9)


def _wanted(ctx: Any, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Return the gradients that were asked for, None for the others, and None for the options."""
    grads = tuple(grad if needed else None for grad, needed in zip(grads, ctx.needs_input_grad, strict=False))
    return *grads, *[None] * len(ctx.options)


def _differentiate_sample(ctx: Any, grad_u: Tensor) -> tuple[Tensor | None, ...]:
    return _wanted(ctx, ops.sample_backward(grad_u, *ctx.saved_tensors, *ctx.options))


def _differentiate_scan(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    return _wanted(ctx, ops.scan_backward(grad_y, *ctx.saved_tensors, *ctx.options))


def _differentiate_dssm(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    """Gather u again, which is cheap, then go back through the scan and the sampling.

    Half-precision inputs are widened first: u and its gradient, which the two steps hand over, must not be rounded.
    """
    saved = ctx.saved_tensors  # once: activation checkpointing unpacks each of them a single time
    work = _work_dtype(saved[0])
    x, offset, weight, delta, A, B, C, D, delta_bias = (
        None if tensor is None else tensor.to(work) for tensor in saved)
    grad_y = grad_y.to(work)
    size, delta_softplus = ctx.options
    u = ops.sample(x, offset, weight, size)
    skip = None if D is None else x
    grad_u, *grads, grad_skip = ops.scan_backward(grad_y, u, delta, A, B, C, D, delta_bias, skip, delta_softplus)
    del u  # of the size of x: its memory can hold the next result
    sampling: tuple[Tensor | None, ...] = (None, None, None)
    if any(ctx.needs_input_grad[:3]):
        sampling = grad_x, _, _ = ops.sample_backward(grad_u, x, offset, weight, size)
        if D is not None:
            grad_x += grad_skip
    return _wanted(ctx, tuple(grad if grad is None or tensor is None else grad.to(tensor.dtype)
                              for grad, tensor in zip((*sampling, *grads), saved, strict=True)))


def _differentiate_twice(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError("dfmamba: the native operators have no second derivatives; backend='reference' has them")


def _register() -> None:
    """Tell torch's dispatcher the above."""
    library = torch.library
    library.register_fake("dfmamba::sample", _sample_shape)
    library.register_fake("dfmamba::sample_backward", _sample_backward_shape)
    library.register_fake("dfmamba::scan", _scan_shape)
    library.register_fake("dfmamba::scan_backward", _scan_backward_shape)
    library.register_fake("dfmamba::dssm", _dssm_shape)
    library.register_autograd("dfmamba::sample", _differentiate_sample, setup_context=_save_sample)
    library.register_autograd("dfmamba::scan", _differentiate_scan, setup_context=_save_scan)
    library.register_autograd("dfmamba::dssm", _differentiate_dssm, setup_context=_save_dssm)
    for name in ("sample_backward", "scan_backward"):
        library.register_autograd(f"dfmamba::{name}", _differentiate_twice)


if LOAD_ERROR is None:
    _register()
