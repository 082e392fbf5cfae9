"""What torch must know about the native operators beside their kernels: shapes for tracing, transforms of torch.func.

Registered where the extension is loaded. The operators are declared in csrc/ops.cpp, and differentiated in
csrc/autograd.cpp; csrc/README.md has their rules.
"""

from collections.abc import Callable, Sequence
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
    grads = [_contiguous(tensor) for tensor in (u, delta, A, B, C)]
    return *grads, *_vectors(u, D, delta_bias), u.new_empty(0) if x is None else _contiguous(x)


def _vectors(like: Tensor, *vectors: Tensor | None) -> list[Tensor]:
    """Return gradients of D and delta_bias; those of an absent one are empty."""
    none = like.new_empty(0, dtype=torch.promote_types(like.dtype, torch.float32))
    return [_contiguous(none if vector is None else vector) for vector in vectors]


def _dssm_shape(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _contiguous(x)


def _dssm_backward_shape(
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
) -> tuple[Tensor, ...]:
    return *map(_contiguous, (x, offset, weight, delta, A, B, C)), *_vectors(x, D, delta_bias)


def _attention_shape(value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]) -> Tensor:
    batch, _, heads, channels = value.shape
    return value.new_empty(batch, weights.shape[1], heads * channels)


def _attention_backward_shape(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    return _contiguous(value), _contiguous(locations), _contiguous(weights)


# --- Derivatives: csrc/autograd.cpp has the rules ---


def has_tangents(*tensors: Tensor | None) -> bool:
    """Return whether forward-mode derivatives of these tensors are under way; the kernels would take them for 0."""
    if forward_ad._current_level < 0:  # outside of `dual_level`, `jvp` and the like
        return False
    if torch._C._are_functorch_transforms_active():  # a tangent may lie under several wrappers
        return True
    return any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


# For each operator how many of its arguments are tensors. They come first. The gradients of all but the backward ones
# are `<name>_backward(grad, *arguments)`.
_NUM_TENSORS = {
    "sample": 3,
    "sample_backward": 4,
    "scan": 8,
    "scan_backward": 9,
    "dssm": 9,
    "dssm_backward": 10,
    "deformable_attention": 3,
    "deformable_attention_backward": 4,
}


# --- The transforms of torch.func: they want functions of this form, not operators ---


def _function(name: str) -> Callable[..., Any]:
    """Return the operator as a function that `torch.func.grad`, `vjp`, `jacrev` and `vmap` can transform.

    It raises RuntimeError where torch.compile traces it; with fullgraph=False the transform then runs in eager mode.
    """
    num_tensors = _NUM_TENSORS[name]

    class Transformable(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Any) -> Any:
            return getattr(ops, name)(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            ctx.save_for_backward(*inputs[:num_tensors])
            ctx.options = inputs[num_tensors:]

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            if name.endswith("_backward") or has_tangents(*grads):
                raise RuntimeError(
                    "dfmamba: the native operators have no second derivatives; of DSSM backend='reference' has them"
                )
            found = getattr(_transformable, f"{name}_backward")(*grads, *ctx.saved_tensors, *ctx.options)
            wanted = [grad if needed else None for grad, needed in zip(found, ctx.needs_input_grad, strict=False)]
            return *wanted, *[None] * len(ctx.options)

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


_transformable = SimpleNamespace(**{name: _function(name) for name in _NUM_TENSORS})


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
    library.register_fake("dfmamba::dssm_backward", _dssm_backward_shape)
    library.register_fake("dfmamba::deformable_attention", _attention_shape)
    library.register_fake("dfmamba::deformable_attention_backward", _attention_backward_shape)
    for name, formula in FLOP_FORMULAS.items():
        register_flop_formula(getattr(ops, name))(formula)


if LOAD_ERROR is None:
    _register()
