"""torch.func and forward-mode derivatives: right, or an error that names backend='reference'; never a silent 0."""

import pytest
import torch
from operator_cases import random_arguments, skip_where_interpreted
from torch import func
from torch.autograd import forward_ad, functional
from torch.utils import _pytree as pytree

from dfmamba import ops

SIZE = (2, 3)
NAMES = ("x", "offset", "weight", "delta", "A", "B", "C", "D", "delta_bias")
ALL = tuple(range(len(NAMES)))
BATCHED = tuple(0 if name in ("x", "offset", "weight", "delta", "B", "C") else None for name in NAMES)
NO_SECOND = "backend='reference' has them"


@pytest.fixture(params=["deform_sample", "selective_scan", "dssm"])
def operator(request):
    """Each public operator as a function of (*all arguments of dssm, backend)."""

    def deform_sample(x, offset, weight, *_, backend=None):
        return ops.deform_sample(x, offset, weight, size=SIZE, backend=backend)

    def selective_scan(x, _offset, _weight, *scanned, backend=None):
        return ops.selective_scan(x, *scanned, backend=backend)

    def dssm(*arguments, backend=None):
        return ops.dssm(*arguments, size=SIZE, backend=backend)

    return {"deform_sample": deform_sample, "selective_scan": selective_scan, "dssm": dssm}[request.param]


@pytest.fixture
def values(request):
    """The arguments, on the device of the native backend where a test is about one."""
    torch.manual_seed(0)
    device = request.getfixturevalue("native").device if "native" in request.fixturenames else "cpu"
    return tuple(value.to(device) for value in random_arguments(batch=2, size=SIZE, channels=4).values())


def loss(operator, backend):
    def function(*arguments):
        y = operator(*arguments, backend=backend)
        return (y * torch.arange(4.0, device=y.device)).square().sum()

    return function


def samples(values, in_dims):
    """Return three different values for every argument that is mapped over, stacked along the named axis."""
    return tuple(
        value if dim is None else torch.stack([value, 1.1 * value, 0.9 * value], dim)
        for value, dim in zip(values, in_dims, strict=True)
    )


REVERSE = {
    "grad": lambda f, v: func.grad(f, ALL)(*v),
    "value and grad": lambda f, v: func.grad_and_value(f, ALL)(*v),
    "vjp": lambda f, v: func.vjp(f, *v)[1](v[0].new_tensor(2.0)),
    "jacrev": lambda f, v: func.jacrev(f, ALL)(*v),
    "vmap": lambda f, v: func.vmap(f)(*samples(v, [0] * 9)),
    "vmap along other axes": lambda f, v: func.vmap(f, (2, 1, None, 3, 1, 0, -1, None, 0))(
        *samples(v, [2, 1, None, 3, 1, 0, -1, None, 0])
    ),
    "gradients of each sample": lambda f, v: func.vmap(func.grad(f, ALL), BATCHED)(*samples(v, BATCHED)),
    "gradients of samples of samples": lambda f, v: func.vmap(func.vmap(func.grad(f, ALL), BATCHED), BATCHED)(
        *samples(samples(v, BATCHED), BATCHED)
    ),
    "functionalize": lambda f, v: func.functionalize(f)(*v),
    "jacobian, vectorized": lambda f, v: functional.jacobian(f, v, vectorize=True),
}


@pytest.mark.parametrize("transform", REVERSE)
def test_reverse_mode(native, operator, values, transform):
    skip_where_interpreted(native, transform not in ("vjp", "vmap"))
    results = [
        pytree.tree_leaves(REVERSE[transform](loss(operator, backend), values))
        for backend in (native.backend, "reference")
    ]
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def test_without_skip_and_bias(native, values):
    skip_where_interpreted(native)

    def dssm(*arguments, backend):
        return ops.dssm(*arguments, size=SIZE, backend=backend)

    per_sample = [
        func.vmap(func.grad(loss(dssm, backend), tuple(range(7))), BATCHED[:7])(*samples(values[:7], BATCHED[:7]))
        for backend in (native.backend, "reference")
    ]
    for ours, expected in zip(*per_sample, strict=True):
        torch.testing.assert_close(ours, expected)


def test_forward_mode_without_skip_and_bias(values):
    def scan(*arguments, backend=None):
        return ops.selective_scan(*arguments, None, None, backend=backend)

    scanned = [values[NAMES.index(name)] for name in ("x", "delta", "A", "B", "C")]
    directions = [torch.randn_like(value) for value in scanned]
    expected = directional_derivative(scan, scanned, directions)
    torch.testing.assert_close(tangent_of(scan, scanned, directions), expected, rtol=1e-6, atol=1e-6)
    only_bias = values[-1]
    with forward_ad.dual_level():  # the tangent may be that of the last argument alone
        dual = forward_ad.make_dual(only_bias, torch.ones_like(only_bias))
        tangent = forward_ad.unpack_dual(ops.selective_scan(*scanned, None, dual)).tangent
    expected = directional_derivative(
        lambda bias: ops.selective_scan(*scanned, None, bias), [only_bias], [torch.ones_like(only_bias)]
    )
    torch.testing.assert_close(tangent, expected, rtol=1e-6, atol=1e-6)


def directional_derivative(f, values, directions, step=1e-6):
    """Return the central difference of f."""
    ahead, behind = ([v + sign * step * d for v, d in zip(values, directions, strict=True)] for sign in (1, -1))
    return (f(*ahead) - f(*behind)) / (2 * step)


def tangent_of(operator, values, directions, backend=None):
    with forward_ad.dual_level():
        duals = (forward_ad.make_dual(v, d) for v, d in zip(values, directions, strict=True))
        return forward_ad.unpack_dual(operator(*duals, backend=backend)).tangent


def test_forward_mode_is_right(operator, values):
    directions = tuple(torch.randn_like(value) for value in values)
    expected = directional_derivative(operator, values, directions)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(func.jvp(operator, values, directions)[1], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(tangent_of(operator, values, directions), expected, rtol=1e-6, atol=1e-6)
    x_only = directional_derivative(lambda x: operator(x, *values[1:]), values[:1], directions[:1])
    along_x = func.jacfwd(operator)(*values)
    torch.testing.assert_close((along_x * directions[0]).sum((3, 4, 5)), x_only, rtol=1e-6, atol=1e-6)


def test_second_derivatives_by_forward_over_reverse(operator, values):
    number = 0
    ours, expected = (func.hessian(loss(operator, backend), number)(*values) for backend in (None, "reference"))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(ours, expected)


def test_a_native_backend_that_is_asked_for_refuses_forward_mode(native, operator, values):
    directions = tuple(torch.ones_like(value) for value in values)
    for attempt in (
        lambda: func.jvp(lambda *v: operator(*v, backend=native.backend), values, directions),
        lambda: tangent_of(operator, values, directions, native.backend),
    ):
        with pytest.raises(ValueError, match=r"no forward-mode derivatives.*'reference' has them"):
            attempt()


def test_inside_of_a_dual_level_what_has_no_tangent_runs_natively(native, operator, values):
    expected = operator(*values, backend=native.backend)
    with forward_ad.dual_level():
        assert torch.equal(operator(*values, backend=native.backend), expected)


def test_what_goes_on_beyond_first_derivatives_is_refused(native, operator, values):
    def natively(*arguments):
        return loss(operator, native.backend)(*arguments)

    for attempt in (
        lambda: func.grad(lambda *v: func.grad(natively)(*v).sum())(*values),
        lambda: functional.hessian(natively, values),
        lambda: functional.jvp(natively, values, values),
    ):
        with pytest.raises(RuntimeError, match=NO_SECOND):
            attempt()


def test_a_tangent_that_meets_the_backward_pass_is_refused(native, operator, values):
    x = values[0].clone().requires_grad_()
    y = operator(x, *values[1:], backend=native.backend)
    with forward_ad.dual_level():
        grad = forward_ad.make_dual(torch.ones_like(y), torch.ones_like(y))
        with pytest.raises(RuntimeError, match=NO_SECOND):
            torch.autograd.grad(y, x, grad)


@pytest.mark.slow
def test_compiled_transforms(native, values):
    skip_where_interpreted(native)

    def dssm(*arguments):
        return ops.dssm(*arguments, size=SIZE)

    def natively(*arguments):
        return ops.dssm(*arguments, size=SIZE, backend=native.backend).square().sum()

    torch._dynamo.reset()
    with pytest.raises(Exception, match="backend='reference' can"):
        torch.compile(func.grad(natively), backend="aot_eager", fullgraph=True)(*values)
    torch._dynamo.reset()
    per_sample = func.vmap(func.grad(natively, ALL), BATCHED)
    batches = samples(values, BATCHED)
    expected = per_sample(*batches)
    for ours, theirs in zip(torch.compile(per_sample, backend="aot_eager")(*batches), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    directions = tuple(torch.ones_like(value) for value in values)

    def derivative(*arguments):
        return func.jvp(dssm, arguments, directions)[1]

    torch.testing.assert_close(torch.compile(derivative, backend="aot_eager")(*values), derivative(*values))
