"""What torch must know about the native operators beside their kernels: shapes for tracing, and gradients.

Registered where the extension is loaded. The operators are declared in csrc/ops.cpp; csrc/README.md has their rules.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from . import torchscript
from .cost import FLOP_FORMULAS
from .ext_loader import LOAD_ERROR

MAX_STATES = 64  # of the kernels

ops = torch.ops.dfmamba


def _work_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


# --- Shapes: like the kernels, all results are new and contiguous ---


def _contiguous(like: Tensor) -> Tensor:
    return like.new_empty(like.shape)


def _sample_shape(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _contiguous(x)


def _sample_backward_shape(
    grad_u: Tensor, x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]
) -> tuple[Tensor, ...]:
    return _contiguous(x), _contiguous(offset), _contiguous(weight)


def _scan_shape(u: Tensor, *_: Any, **__: Any) -> Tensor:
    return _contiguous(u)


def _scan_backward_shape(
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
) -> tuple[Tensor, ...]:
    none = u.new_empty(0, dtype=_work_dtype(u))
    grads = [_contiguous(tensor) for tensor in (u, delta, A, B, C)]
    for vector in (D, delta_bias):
        grads.append(_contiguous(none if vector is None else vector))
    return *grads, u.new_empty(0) if x is None else _contiguous(x)


def _dssm_shape(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _contiguous(x)


def _attention_shape(value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]) -> Tensor:
    batch, _, heads, channels = value.shape
    return value.new_empty(batch, weights.shape[1], heads * channels)


def _attention_backward_shape(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    return _contiguous(value), _contiguous(locations), _contiguous(weights)


# --- Gradients: `run` holds the operators that the backward pass is made of ---


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any, num_tensors: int) -> None:
    """Keep the tensors for the backward pass, and what follows them as `ctx.options`."""
    ctx.save_for_backward(*inputs[:num_tensors])
    ctx.options = inputs[num_tensors:]


def _wanted(ctx: Any, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Return the gradients that were asked for, None for the others, and None for the options."""
    grads = tuple(grad if needed else None for grad, needed in zip(grads, ctx.needs_input_grad, strict=False))
    return *grads, *[None] * len(ctx.options)


def has_tangents(*tensors: Tensor | None) -> bool:
    """Return whether forward-mode derivatives of these tensors are under way; the kernels would take them for 0."""
    if forward_ad._current_level < 0:  # outside of `dual_level`, `jvp` and the like
        return False
    if torch._C._are_functorch_transforms_active():  # a tangent may lie under several wrappers
        return True
    return any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def _refuse_tangents(grad: Tensor) -> None:
    if has_tangents(grad):
        _differentiate_twice()


def _differentiate_sample(run: Any, ctx: Any, grad_u: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_tangents(grad_u)
    return _wanted(ctx, run.sample_backward(grad_u, *ctx.saved_tensors, *ctx.options))


def _differentiate_scan(run: Any, ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_tangents(grad_y)
    return _wanted(ctx, run.scan_backward(grad_y, *ctx.saved_tensors, *ctx.options))


def _differentiate_dssm(run: Any, ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    """Gather u again, which is cheap, then go back through the scan and the sampling.

    Half-precision inputs are widened first: u and its gradient, which the two steps hand over, must not be rounded.
    """
    _refuse_tangents(grad_y)
    saved = ctx.saved_tensors  # once: activation checkpointing unpacks each of them a single time
    work = _work_dtype(saved[0])
    x, offset, weight, delta, A, B, C, D, delta_bias = (None if tensor is None else tensor.to(work) for tensor in saved)
    grad_y = grad_y.to(work)
    size, delta_softplus = ctx.options
    u = run.sample(x, offset, weight, size)
    skip = None if D is None else x
    grad_u, *grads, grad_skip = run.scan_backward(grad_y, u, delta, A, B, C, D, delta_bias, skip, delta_softplus)
    del u  # of the size of x: its memory can hold the next result
    sampling: tuple[Tensor | None, ...] = (None, None, None)
    if any(ctx.needs_input_grad[:3]):
        sampling = grad_x, _, _ = run.sample_backward(grad_u, x, offset, weight, size)
        if D is not None:
            grad_x += grad_skip
    return _wanted(
        ctx,
        tuple(
            grad if grad is None or tensor is None else grad.to(tensor.dtype)
            for grad, tensor in zip((*sampling, *grads), saved, strict=True)
        ),
    )


def _differentiate_attention(run: Any, ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_tangents(grad_output)
    return _wanted(ctx, run.deformable_attention_backward(grad_output, *ctx.saved_tensors, *ctx.options))


def _differentiate_twice(*_: Any, **__: Any) -> None:
    raise RuntimeError("dfmamba: the native operators have no second derivatives; of DSSM backend='reference' has them")


# For each operator what differentiates it, and how many of its arguments are tensors. They come first.
_RULES: dict[str, tuple[Callable[..., Any], int]] = {
    "sample": (_differentiate_sample, 3),
    "scan": (_differentiate_scan, 8),
    "dssm": (_differentiate_dssm, 9),
    "sample_backward": (_differentiate_twice, 4),
    "scan_backward": (_differentiate_twice, 9),
    "deformable_attention": (_differentiate_attention, 3),
    "deformable_attention_backward": (_differentiate_twice, 4),
}


# --- The transforms of torch.func: they want functions of this form, not operators ---


def _function(name: str) -> Callable[..., Any]:
    """Return the operator as a function that `torch.func.grad`, `vjp`, `jacrev` and `vmap` can transform.

    It raises RuntimeError where torch.compile traces it; with fullgraph=False the transform then runs in eager mode.
    """
    differentiate, num_tensors = _RULES[name]

    class Transformable(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Any) -> Any:
            return getattr(ops, name)(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            _save(ctx, inputs, output, num_tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            return differentiate(_transformable, ctx, *grads)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
            """Run once for each sample: gradients of A, D and delta_bias are sums over the batch of a call."""
            tensors = list(zip(inputs[:num_tensors], in_dims, strict=False))
            results = [
                call(
                    *(value if dim is None else value.select(dim, sample) for value, dim in tensors),
                    *inputs[num_tensors:],
                )
                for sample in range(info.batch_size)
            ]
            if isinstance(results[0], Tensor):
                return torch.stack(results), 0
            return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling():  # torch 2.11 fails on such functions inside of one another
            raise RuntimeError(
                "dfmamba: the native operators cannot be compiled inside of a transform of torch.func; "
                "backend='reference' can"
            )
        return Transformable.apply(*inputs)

    return call


_transformable = SimpleNamespace(**{name: _function(name) for name in _RULES})


def operators() -> Any:
    """Return the operators by name: those of torch's dispatcher, or in a transform of torch.func such as it can take.

    The dispatcher's know nothing of torch.func, the others cost more time a call. While `torch.jit.trace` records they
    are those that record sizes.
    """
    if torch.jit.is_tracing():
        return torchscript.while_tracing
    if not torch._C._are_functorch_transforms_active():
        return ops
    return ops if not torch.compiler.is_compiling() and _is_functionalizing() else _transformable


def _is_functionalizing() -> bool:
    """Return whether the innermost transform is `functionalize`, which the operators pass as they are."""
    return torch._C._functorch.peek_interpreter_stack().key() == torch._C._functorch.TransformType.Functionalize


def _register() -> None:
    """Tell torch's dispatcher the above."""
    library = torch.library
    library.register_fake("dfmamba::sample", _sample_shape)
    library.register_fake("dfmamba::sample_backward", _sample_backward_shape)
    library.register_fake("dfmamba::scan", _scan_shape)
    library.register_fake("dfmamba::scan_backward", _scan_backward_shape)
    library.register_fake("dfmamba::dssm", _dssm_shape)
    library.register_fake("dfmamba::deformable_attention", _attention_shape)
    library.register_fake("dfmamba::deformable_attention_backward", _attention_backward_shape)
    for name, (differentiate, num_tensors) in _RULES.items():
        save = None if differentiate is _differentiate_twice else partial(_save, num_tensors=num_tensors)
        library.register_autograd(f"dfmamba::{name}", partial(differentiate, ops), setup_context=save)
    for name, formula in FLOP_FORMULAS.items():
        register_flop_formula(getattr(ops, name))(formula)


if LOAD_ERROR is None:
    _register()
