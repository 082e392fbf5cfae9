"""What torch must know about the native operators beside their kernels: shapes for tracing, transforms of torch.func.

Registered where the extension is loaded. The operators are declared in csrc/ops.cpp, and differentiated in
csrc/autograd.cpp; csrc/README.md has their rules. Those in Triton (triton_backend.py) have the same signatures, shapes
and transforms.
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

# By the names of their libraries: ours in C++, and those of triton_backend.py.
_LIBRARIES = {"dfmamba": torch.ops.dfmamba, "dfmamba_triton": torch.ops.dfmamba_triton}


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


SHAPES: dict[str, Callable[..., Any]] = {
    "sample": _sample_shape,
    "sample_backward": _sample_backward_shape,
    "scan": _scan_shape,
    "scan_backward": _scan_backward_shape,
    "dssm": _dssm_shape,
    "dssm_backward": _dssm_backward_shape,
    "deformable_attention": _attention_shape,
    "deformable_attention_backward": _attention_backward_shape,
}


# --- Derivatives: csrc/autograd.cpp has the rules of the native operators ---


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


def autograd_rule(name: str, operators: Any) -> tuple[Callable[..., None], Callable[..., Any]]:
    """Return the functions `setup_context` and `backward` of an operator whose backward one is among `operators`."""
    num_tensors = _NUM_TENSORS[name]

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:num_tensors])
        ctx.options = inputs[num_tensors:]

    def backward(ctx: Any, *grads: Tensor) -> Any:
        if name.endswith("_backward") or has_tangents(*grads):
            raise RuntimeError(
                "dfmamba: the native operators have no second derivatives; of DSSM backend='reference' has them"
            )
        found = getattr(operators, f"{name}_backward")(*grads, *ctx.saved_tensors, *ctx.options)
        wanted = [grad if needed else None for grad, needed in zip(found, ctx.needs_input_grad, strict=False)]
        return *wanted, *[None] * len(ctx.options)

    return setup_context, backward


# --- The transforms of torch.func: they want functions of this form, not operators ---


def _function(library: str, name: str) -> Callable[..., Any]:
    """Return the operator as a function that `torch.func.grad`, `vjp`, `jacrev` and `vmap` can transform.

    It raises RuntimeError where torch.compile traces it; with fullgraph=False the transform then runs in eager mode.
    """
    num_tensors = _NUM_TENSORS[name]
    rule = autograd_rule(name, _transformable[library])

    class Transformable(torch.autograd.Function):
        setup_context, backward = map(staticmethod, rule)

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return getattr(_LIBRARIES[library], name)(*inputs)

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


_transformable = {library: SimpleNamespace() for library in _LIBRARIES}
for _library, _functions in _transformable.items():
    for _name in _NUM_TENSORS:
        setattr(_functions, _name, _function(_library, _name))


def operators(backend: str) -> Any:
    """Return a backend's operators by name: torch's dispatcher's, or in a transform of torch.func such as it can take.

    The dispatcher's know nothing of torch.func, the others cost more time a call. While `torch.jit.trace` records they
    are the native ones that record sizes.
    """
    if torch.jit.is_tracing():
        return torchscript.while_tracing
    library = "dfmamba_triton" if backend == "triton" else "dfmamba"
    if not torch._C._are_functorch_transforms_active() or (not torch.compiler.is_compiling() and _is_functionalizing()):
        return _LIBRARIES[library]
    return _transformable[library]


def _is_functionalizing() -> bool:
    """Return whether the innermost transform is `functionalize`, which the operators pass as they are."""
    return torch._C._functorch.peek_interpreter_stack().key() == torch._C._functorch.TransformType.Functionalize


def register(library: str) -> None:
    """Tell torch's dispatcher the shapes of a library's results, and what its operators cost."""
    for name, shape in SHAPES.items():
        torch.library.register_fake(f"{library}::{name}", shape)
    for name, formula in FLOP_FORMULAS.items():
        register_flop_formula(getattr(_LIBRARIES[library], name))(formula)


if LOAD_ERROR is None:
    register("dfmamba")
