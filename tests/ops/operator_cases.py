"""The operators of every backend behind one face, arguments for them, and the comparison with float64."""

import math
from functools import partial

import pytest
import torch

from dfmamba import ops
from dfmamba.ops import available_backends, triton_backend


class Operators:
    """The public functions with one backend forced; arguments go to its device, results come back to the CPU."""

    def __init__(self, backend):
        self.backend = backend
        # Triton's interpreter runs on CPU tensors, and takes about 0.1 ms for a step of a kernel.
        self.interpreted = backend == "triton" and triton_backend.devices() == ("cpu",)
        on_gpu = backend == "cuda" or (backend == "triton" and not self.interpreted)
        self.device = "cuda" if on_gpu else "cpu"

    def __getattr__(self, name):
        function = getattr(ops, name)

        def call(*args, **kwargs):
            args = [self._move(value) for value in args]
            kwargs = {key: self._move(value) for key, value in kwargs.items()}
            return function(*args, **kwargs, backend=self.backend).cpu()

        return call

    def _move(self, value):
        return value.to(self.device) if isinstance(value, torch.Tensor) else value


def operators_of(backend):
    reason = available_backends()[backend]
    if reason is not None:
        pytest.skip(reason)
    return Operators(backend)


def skip_where_interpreted(operators, too_slow=True):
    """Skip the test where Triton's interpreter would take too long for it, or for the case at hand."""
    if operators.interpreted and too_slow:
        pytest.skip("takes long in Triton's interpreter")


def random_arguments(batch=2, size=(4, 5), channels=6, groups=2, anchors=9, states=3, dtype=torch.float64):
    """Return arguments of `dssm`, with offsets that keep clear of the lattice (where the derivative jumps)."""
    length, axes = math.prod(size), len(size)
    randn = partial(torch.randn, dtype=dtype)
    whole = torch.randint(-2, 3, (batch, length, groups, anchors, axes))
    fraction = torch.rand(whole.shape, dtype=dtype) * 0.9 + 0.05
    return {
        "x": randn(batch, length, channels),
        "offset": whole + fraction,
        "weight": randn(batch, length, groups, anchors),
        "delta": randn(batch, length, channels),
        "A": -torch.rand(channels, states, dtype=dtype) - 0.1,
        "B": randn(batch, length, states),
        "C": randn(batch, length, states),
        "D": randn(channels),
        "delta_bias": randn(channels),
    }


# Largest relative error against float64 in the L2 norm, of the result and of the gradients.
TOLERANCE = {
    torch.float64: (1e-13, 1e-12),
    torch.float32: (1e-5, 5e-5),
    torch.float16: (1e-3, 5e-3),
    torch.bfloat16: (5e-3, 1e-2),
}
EXACT = ("offset", "A", "D", "delta_bias")  # never half-precision numbers


def cast(arguments, dtype):
    """Return arguments as a model in `dtype` would pass them."""
    work = torch.promote_types(dtype, torch.float32)
    return {
        name: value if value is None else value.to(work if name in EXACT else dtype)
        for name, value in arguments.items()
    }


def relative_error(value, exact):
    """Return the L2 norm of the error over that of the exact value, which near 0 is taken as 0.01 a number."""
    exact = exact.double()
    scale = exact.norm() + 1e-2 * exact.numel() ** 0.5
    return ((value.double() - exact).norm() / scale).item() if exact.numel() else 0.0


def result_and_gradients(function, arguments, probe, **options):
    """Return y and a dictionary of the gradients of (y * probe).sum(); arguments go by position: u is x elsewhere."""
    leaves = {name: value if value is None else value.detach().requires_grad_() for name, value in arguments.items()}
    y = function(*leaves.values(), **options)
    given = {name: value for name, value in leaves.items() if value is not None}
    grads = torch.autograd.grad(y, list(given.values()), probe.to(y.dtype))
    return y.detach(), dict(zip(given, grads, strict=True))


def check_against_float64(operators, arguments, dtype, size, softplus=True, slack=1.0, probe=None):
    """Assert that result and gradients in `dtype` are within `slack` tolerances of the reference in float64."""
    if probe is None:
        probe = torch.randn(arguments["x"].shape, dtype=torch.float64)
    compare_with_float64(
        operators, "dssm", cast(arguments, dtype), dtype, slack, probe.to(dtype), size=size, delta_softplus=softplus
    )


def compare_with_float64(operators, name, arguments, dtype, slack, probe, **options):
    """The same for any of the operators, whose arguments have their dtypes; the gradients are those of (y * probe)."""
    exact_arguments = {name: value if value is None else value.double() for name, value in arguments.items()}
    function, definition = getattr(operators, name), getattr(Operators("reference"), name)
    exact, exact_grads = result_and_gradients(definition, exact_arguments, probe.double(), **options)
    y, grads = result_and_gradients(function, arguments, probe, **options)
    forward, backward = (slack * tolerance for tolerance in TOLERANCE[dtype])
    assert y.dtype == dtype
    assert relative_error(y, exact) < forward
    for name, grad in grads.items():
        assert grad.dtype == arguments[name].dtype
        assert grad.shape == arguments[name].shape
        assert relative_error(grad, exact_grads[name]) < backward, name
