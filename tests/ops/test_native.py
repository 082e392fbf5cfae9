"""What the native operators promise beyond the definition: accuracy, registration, precision rules, limits."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from operator_cases import (
    EXACT,
    Operators,
    cast,
    check_against_float64,
    random_arguments,
    relative_error,
    skip_where_interpreted,
)

from dfmamba import ops
from dfmamba.models import DFMamba
from dfmamba.ops import available_backends, mamba_ssm_backend, reference
from dfmamba.ops.ext_loader import LOAD_ERROR

ROOT = Path(__file__).parents[2]
needs_extension = pytest.mark.skipif(LOAD_ERROR is not None, reason=str(LOAD_ERROR))

SHAPES = {
    "as in DF-Mamba": {"size": (16, 16), "channels": 320, "groups": 5, "states": 16},
    "small channels": {"size": (5, 7), "channels": 8, "groups": 1, "states": 8},
    "odd channels": {"size": (7, 3), "channels": 30, "groups": 3, "states": 3},
    "prime channels": {"size": (4, 9), "channels": 71, "groups": 71, "states": 1},
    "many groups": {"size": (6, 6), "channels": 160, "groups": 20, "states": 8},
    "one row": {"size": (1, 11), "channels": 12, "groups": 2, "states": 16},
    "one column": {"size": (11, 1), "channels": 12, "groups": 2, "states": 16},
    "one token": {"size": (1, 1), "channels": 16, "groups": 2, "states": 5},
    "one anchor": {"size": (4, 5), "channels": 16, "groups": 2, "anchors": 1},
    "25 anchors": {"size": (4, 5), "channels": 16, "groups": 2, "anchors": 25},
    "one axis": {"size": (50,), "channels": 16, "groups": 2, "anchors": 5},
    "64 states": {"size": (5, 5), "channels": 20, "groups": 1, "states": 64},
    "several chunks of tokens": {"batch": 1, "size": (40, 41), "channels": 20, "groups": 1, "states": 17},
    # of Triton's kernels
    "a token over a chunk": {"batch": 1, "size": (17,), "channels": 33, "groups": 1, "anchors": 1, "states": 3},
}
INTERPRETED = [
    ("a token over a chunk", torch.float32),
    ("odd channels", torch.float64),
    ("one row", torch.float16),
    ("one token", torch.bfloat16),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_accuracy(native, shape, dtype):
    skip_where_interpreted(native, (shape, dtype) not in INTERPRETED)
    torch.manual_seed(0)
    arguments = random_arguments(**SHAPES[shape], dtype=torch.float32)
    check_against_float64(native, arguments, dtype, SHAPES[shape]["size"])


def test_half_precision_input_with_float32_projections(native):
    torch.manual_seed(1)
    a = cast(random_arguments(dtype=torch.float32), torch.bfloat16)
    mixed = {**a, "delta": a["delta"].float(), "B": a["B"].float(), "weight": a["weight"].float()}
    expected = native.dssm(**a, size=(4, 5))
    assert torch.equal(native.dssm(**mixed, size=(4, 5)), expected)


def test_same_bits_from_run_to_run(native):
    skip_where_interpreted(native)
    torch.manual_seed(2)
    a = {name: value.requires_grad_() for name, value in random_arguments(3, (12, 12), 80, 5, 9, 16).items()}
    probe = torch.randn(3, 144, 80, dtype=torch.float64)

    def run():
        y = native.dssm(**a, size=(12, 12))
        return [y, *torch.autograd.grad(y, list(a.values()), probe)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def test_number_of_threads_changes_no_result():
    operators, threads = Operators("cpu"), torch.get_num_threads()
    if available_backends()["cpu"] is not None:
        pytest.skip(available_backends()["cpu"])
    torch.manual_seed(3)
    a = random_arguments(1, (16, 16), 160, 5, 9, 8)
    try:
        torch.set_num_threads(1)
        one = operators.dssm(**a, size=(16, 16))
        torch.set_num_threads(3)
        assert torch.equal(operators.dssm(**a, size=(16, 16)), one)
    finally:
        torch.set_num_threads(threads)


def test_softplus_at_its_limits(native):
    delta = torch.tensor([-math.inf, -1e4, -104.0, -88.0, -20.0, -1e-6, 0.0, 1e-6, 19.99, 20.01, 88.0, 1e4])
    delta = delta.view(1, 1, -1).requires_grad_()
    one, u = torch.ones(1, 1, 1), torch.ones(1, 1, delta.shape[-1])
    y = native.selective_scan(u, delta, -torch.ones(delta.shape[-1], 1), one, one)  # the first state is d itself
    torch.testing.assert_close(y, torch.nn.functional.softplus(delta), rtol=1e-6, atol=1e-37)
    (grad,) = torch.autograd.grad(y.sum(), delta)
    torch.testing.assert_close(grad, torch.sigmoid(delta), rtol=1e-6, atol=1e-37)


def test_decay_at_its_limits(native):
    exponent = torch.tensor([-math.inf, -1e30, -200.0, -88.0, -87.0, -30.0, -1.0, -1e-7, 0.0, 1.0, 80.0, 1000.0])
    channels = len(exponent)
    one = torch.ones(1, 2, 1)
    u = torch.tensor([1.0, 0.0]).view(1, 2, 1).expand(1, 2, channels)
    arguments = (u, torch.ones(1, 2, channels), exponent.view(-1, 1), one, one)
    y = native.selective_scan(*arguments, delta_softplus=False)[0, 1]
    torch.testing.assert_close(y[:-1], exponent[:-1].exp(), rtol=1e-5, atol=1e-37)
    assert y[-1].isnan()  # an infinite decay times the empty state, as in the reference


def test_one_token_whose_stride_says_nothing(native):
    a = random_arguments(batch=3, size=(1,), anchors=1, dtype=torch.float32)
    expected = ops.dssm(**a, size=(1,), backend="reference")
    for name in ("B", "C"):  # "time first" memory: contiguous to torch, though the stride of the token axis is odd
        a[name] = a[name].as_strided(a[name].shape, (3, 9, 1))
    torch.testing.assert_close(native.dssm(**a, size=(1,)), expected)


def test_nan_in_the_input_stays_in_its_channel(native):
    a = random_arguments()
    clean = native.dssm(**a, size=(4, 5))
    a["delta"][0, 3, 1] = math.nan
    y = native.dssm(**a, size=(4, 5))
    assert y[0, 3:, 1].isnan().all()
    y[0, 3:, 1] = clean[0, 3:, 1]
    assert torch.equal(y, clean)


def test_only_the_wanted_gradients_come(native):
    skip_where_interpreted(native)
    a = random_arguments()
    for name in a:
        leaves = {**a, name: a[name].clone().requires_grad_()}
        native.dssm(**leaves, size=(4, 5)).sum().backward()
        assert leaves[name].grad.isfinite().all()


def test_without_skip_and_bias(native):
    torch.manual_seed(4)
    a = random_arguments(dtype=torch.float32)
    for absent in ({"D": None}, {"delta_bias": None}, {"D": None, "delta_bias": None}):
        check_against_float64(native, {**a, **absent}, torch.float32, (4, 5))


def test_the_split_operators_differentiate_like_the_fused_one(native):
    skip_where_interpreted(native)
    torch.manual_seed(5)
    a = random_arguments()
    fused = {name: value.clone().requires_grad_() for name, value in a.items()}
    split = {name: value.clone().requires_grad_() for name, value in a.items()}
    y = native.dssm(**fused, size=(4, 5))
    u = native.deform_sample(split["x"], split["offset"], split["weight"], size=(4, 5))
    scanned = (split[name] for name in ("delta", "A", "B", "C"))
    y_split = native.selective_scan(u, *scanned, None, split["delta_bias"]) + split["D"] * split["x"]
    torch.testing.assert_close(y, y_split)
    probe = torch.randn_like(y)
    y.backward(probe)
    y_split.backward(probe)
    for name in a:
        torch.testing.assert_close(fused[name].grad, split[name].grad)


@pytest.mark.parametrize("softplus", [True, False])
def test_scan_gradients_against_finite_differences(native, softplus):
    torch.manual_seed(6)
    a = random_arguments(1, (2, 4), 5, 1, 1, 3)
    names = ["x", "delta", "A", "B", "C", "D", "delta_bias"]
    a["delta"] = a["delta"].abs()

    def scan(*values):
        return native.selective_scan(*values, delta_softplus=softplus)

    # Fast: along one random direction, not along each axis.
    assert torch.autograd.gradcheck(scan, [a[name].requires_grad_() for name in names], fast_mode=native.interpreted)


def test_second_derivatives_are_refused(native):
    a = {name: value.requires_grad_() for name, value in random_arguments().items()}
    (grad,) = torch.autograd.grad(native.dssm(**a, size=(4, 5)).square().sum(), a["delta"], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        grad.sum().backward()


def layouts():
    """Yield arguments of the operators in several layouts."""
    torch.manual_seed(7)
    for dtype in (torch.float32, torch.bfloat16):
        yield cast(random_arguments(dtype=torch.float32), dtype)
    a = random_arguments(dtype=torch.float32)
    yield {name: t.transpose(1, -1).contiguous().transpose(1, -1) if t.dim() > 2 else t for name, t in a.items()}
    yield {name: torch.cat([t, t], -1)[..., : t.shape[-1]] for name, t in a.items()}


@needs_extension
@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_registration(case, device):
    if available_backends()[device] is not None:
        pytest.skip(available_backends()[device])
    a = {name: value.to(device).detach().requires_grad_() for name, value in list(layouts())[case].items()}
    sampling = [a["x"], a["offset"], a["weight"]]
    scanning = [a[name] for name in ("delta", "A", "B", "C", "D", "delta_bias")]
    u = torch.randn_like(a["x"], memory_format=torch.contiguous_format)
    native = torch.ops.dfmamba
    calls = [
        (native.sample.default, (*sampling, [4, 5])),
        (native.scan.default, (a["x"], *scanning, None, True)),
        (native.scan.default, (a["x"], *scanning[:4], None, None, None, False)),
        (native.dssm.default, (*sampling, *scanning, [4, 5], True)),
    ]
    tolerance = 1e-4 if a["x"].dtype == torch.float32 else 2e-2
    for op, arguments in calls:
        torch.library.opcheck(op, arguments, atol=tolerance, rtol=tolerance)
    with_data = [value.detach() for value in (*sampling, *scanning)]
    backward = [
        (native.sample_backward.default, (u, *with_data[:3], [4, 5])),
        (native.scan_backward.default, (u, u, *with_data[3:], with_data[0], True)),
        (native.scan_backward.default, (u, u, *with_data[3:7], None, None, None, True)),
    ]
    for op, arguments in backward:
        torch.library.opcheck(op, arguments, atol=tolerance, rtol=tolerance)


WRONG = {
    "x": (lambda a: {"x": a["x"].int()}, "x: expected floating-point"),
    "size": (lambda a: {"size": [4, 4]}, "size: expected positive integers"),
    "offset": (lambda a: {"offset": a["offset"].half()}, "offset: expected dtype"),
    "weight": (lambda a: {"weight": a["weight"][:1]}, "weight: expected shape"),
    "B": (lambda a: {"B": a["B"][:, :3]}, "B: expected shape"),
    "D": (lambda a: {"D": a["D"][1:]}, "D: expected shape"),
    "A": (lambda a: {"A": a["A"].double()}, "A: expected dtype"),
}


@needs_extension
@pytest.mark.parametrize("case", WRONG)
def test_the_operators_themselves_check_their_arguments(case):
    change, message = WRONG[case]
    a = {**random_arguments(dtype=torch.float32), "size": [4, 5], "delta_softplus": True}
    with pytest.raises(RuntimeError, match=message):
        torch.ops.dfmamba.dssm(**{**a, **change(a)})


def test_autocast_keeps_what_must_be_exact(operators):
    torch.manual_seed(8)
    a = random_arguments(dtype=torch.float32)
    low = {name: value if name in EXACT else value.bfloat16() for name, value in a.items()}
    with torch.autocast(operators.device, torch.bfloat16):
        y = operators.dssm(**a, size=(4, 5))
        u = operators.deform_sample(a["x"], a["offset"], a["weight"], size=(4, 5))
        scanned = operators.selective_scan(*(a[name] for name in ("x", "delta", "A", "B", "C")))
    assert y.dtype == u.dtype == scanned.dtype == torch.bfloat16
    exact = Operators("reference").dssm(**{name: value.double() for name, value in low.items()}, size=(4, 5))
    assert relative_error(y, exact) < 5e-3


def test_autocast_leaves_float64_alone(operators):
    a = random_arguments()
    with torch.autocast(operators.device, torch.bfloat16):
        assert operators.dssm(**a, size=(4, 5)).dtype == torch.float64


def test_many_states_run_on_the_reference():
    a = random_arguments(states=65)
    expected = ops.dssm(**a, size=(4, 5), backend="reference")
    assert torch.equal(ops.dssm(**a, size=(4, 5)), expected)
    if available_backends()["cpu"] is None:
        with pytest.raises(ValueError, match="N of at most 64, got 65"):
            ops.dssm(**a, size=(4, 5), backend="cpu")


def test_a_backend_refuses_tensors_of_another_device():
    if available_backends()["cpu"] is not None:
        pytest.skip(available_backends()["cpu"])
    a = {name: value.to("meta") for name, value in random_arguments().items()}
    with pytest.raises(ValueError, match="'cpu' expects tensors on a cpu device, got meta"):
        ops.dssm(**a, size=(4, 5), backend="cpu")


def run_python(code, **environment):
    """Run code in a fresh Python and return what it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "projects"), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_without_the_extension_everything_works_and_one_warning_says_how_to_get_it():
    said = run_python("""
import sys, torch
sys.modules["dfmamba._C"] = None  # what an absent module looks like
from dfmamba.ops import available_backends, deform_sample, use_backend
for _ in range(2):
    u = deform_sample(torch.ones(1, 4, 1), torch.zeros(1, 4, 1, 1, 2), torch.ones(1, 4, 1, 1), size=(2, 2))
assert u.sum() == 4
with use_backend("reference"):
    deform_sample(torch.ones(1, 4, 1), torch.zeros(1, 4, 1, 1, 2), torch.ones(1, 4, 1, 1), size=(2, 2))
for name in ("cpu", "cuda"):
    try:
        use_backend(name).__enter__()
    except ValueError as error:
        assert "pip install" in str(error)
    else:
        raise AssertionError(name)
assert "pip install" in available_backends()["cpu"]
""")
    assert said.count("pip install --no-build-isolation") == 1
    assert said.count("\n") == 1


@needs_extension
@pytest.mark.parametrize("capability", ["portable", "avx2", "avx512"])
def test_every_build_of_the_cpu_kernels(capability):
    said = run_python(
        f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from operator_cases import Operators, check_against_float64
from test_attention_operator import check_random_case
from test_fuzz import make_case
try:
    assert torch.ops.dfmamba.cpu_capability() == {capability!r}
except RuntimeError as error:
    print("skip", error)
    raise SystemExit
for number in range(40):
    arguments, *options = make_case(number)
    check_against_float64(Operators("cpu"), arguments, *options, slack=3)
    check_random_case(Operators("cpu"), number)
""",
        DFMAMBA_CPU_CAPABILITY=capability,
    )
    if said.startswith("skip"):
        pytest.skip(said)


@pytest.mark.slow
@needs_extension
def test_the_backbone_compiles_in_one_graph():
    torch._dynamo.reset()  # another test compiles the same forward for another size: this one would get variable ones
    torch.manual_seed(9)
    model, image = DFMamba("nano").eval(), torch.randn(2, 3, 64, 64)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")  # inductor's code: test_torch_tools.py
    parameters = list(model.parameters())

    def run(function):
        maps = function(image)
        return [*maps, *torch.autograd.grad(sum(m.square().mean() for m in maps), parameters)]

    for ours, eager in zip(run(compiled), run(model), strict=True):
        assert relative_error(ours, eager) < 1e-4


def test_the_scan_of_mamba_ssm_gets_what_it_expects(monkeypatch):
    """A stand-in for the package, which is rarely installed: channels-first, contiguous, one dtype, D left out."""

    def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
        assert all(tensor.is_contiguous() and tensor.dtype == u.dtype for tensor in (u, delta, B, C))
        assert D is None
        assert z is None
        tokens = (tensor.transpose(1, 2) for tensor in (u, delta))
        projections = (tensor.transpose(1, 2) for tensor in (B, C))
        return reference.selective_scan(*tokens, A, *projections, None, delta_bias, delta_softplus).transpose(1, 2)

    monkeypatch.setattr(mamba_ssm_backend, "_import_scan", lambda: scan)
    a = random_arguments(dtype=torch.float32)
    scanned = [a[name] for name in ("x", "delta", "A", "B", "C", "D", "delta_bias")]
    other = torch.randn_like(a["x"])
    y = mamba_ssm_backend.selective_scan(*scanned, None, True)
    torch.testing.assert_close(y, reference.selective_scan(*scanned))
    y = mamba_ssm_backend.selective_scan(*scanned, other, True)  # D multiplies what it is given, not u
    without = reference.selective_scan(*scanned[:5], None, a["delta_bias"])
    torch.testing.assert_close(y, without + a["D"] * other)


def test_mamba_ssm_says_why_not():
    reason = available_backends()["mamba_ssm"]
    assert reason is None or "mamba_ssm" in reason
