"""Deformable attention against its definition written as loops, against mmcv, and what its native kernels promise."""

import itertools
import math
import os
import random
from functools import partial

import pytest
import torch
from operator_cases import Operators, compare_with_float64, operators_of, skip_where_interpreted
from torch import func
from torch.autograd import forward_ad

from dfmamba.ops import available_backends, multi_scale_deformable_attention
from dfmamba.ops.ext_loader import LOAD_ERROR

needs_extension = pytest.mark.skipif(LOAD_ERROR is not None, reason=str(LOAD_ERROR))
SIZES = [(5, 7), (3, 4), (1, 2)]


def attention_arguments(batch=2, sizes=SIZES, queries=6, heads=2, points=4, channels=3, dtype=torch.float64):
    """Return value, locations and weights; the points keep clear of the lattice, where the derivative jumps."""
    randn = partial(torch.randn, dtype=dtype)
    shape = (batch, queries, heads, len(sizes), points)
    extents = torch.tensor([(width, height) for height, width in sizes], dtype=dtype).view(-1, 1, 2)
    whole = (torch.rand(*shape, 2, dtype=dtype) * (extents + 4)).floor() - 2  # some pixels are off the level
    pixels = whole + torch.rand(*shape, 2, dtype=dtype) * 0.9 + 0.05
    pixel_count = sum(height * width for height, width in sizes)
    return {
        "value": randn(batch, pixel_count, heads, channels),
        "locations": (pixels + 0.5) / extents,
        "weights": randn(shape),
    }


def bilinear(feature_map, x, y):
    """Read a (H, W, C) map at (x, y) in [0, 1]; zeros outside."""
    height, width, channels = feature_map.shape
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros(channels, dtype=feature_map.dtype)
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * feature_map[i, j]
    return total


def attention_by_loops(value, locations, weights, sizes):
    batch, queries, heads, levels, points, _ = locations.shape
    level_values = value.split([h * w for h, w in sizes], dim=1)
    output = value.new_zeros(batch, queries, heads, value.shape[-1])
    for b, q, head, level, point in itertools.product(*map(range, (batch, queries, heads, levels, points))):
        feature_map = level_values[level][b, :, head].unflatten(0, sizes[level])
        x, y = locations[b, q, head, level, point].tolist()
        output[b, q, head] += weights[b, q, head, level, point] * bilinear(feature_map, x, y)
    return output.flatten(2)


def test_it_is_the_definition(operators):
    torch.manual_seed(0)
    a = attention_arguments()
    output = operators.multi_scale_deformable_attention(**a, sizes=SIZES)
    torch.testing.assert_close(output, attention_by_loops(**a, sizes=SIZES))


def test_points_on_the_lattice_read_one_pixel(operators):
    value = torch.randn(1, 8, 1, 5)
    row, column = torch.meshgrid(torch.arange(2), torch.arange(4), indexing="ij")
    locations = torch.stack([(column + 0.5) / 4, (row + 0.5) / 2], -1).view(1, 8, 1, 1, 1, 2)
    weights = torch.ones(1, 8, 1, 1, 1)
    assert torch.equal(
        operators.multi_scale_deformable_attention(value, locations, weights, sizes=[(2, 4)])[0], value[0, :, 0]
    )


def test_derivative_on_the_lattice_is_the_one_from_the_right(operators):
    value = torch.tensor([3.0, 5.0, 11.0, 4.0], dtype=torch.float64).view(1, 4, 1, 1)
    pixels = torch.tensor([-1.0, 1.0, 3.0], dtype=torch.float64)
    locations = torch.stack([(pixels + 0.5) / 4, torch.full_like(pixels, 0.5)], -1).view(1, 3, 1, 1, 1, 2)
    locations.requires_grad_()
    weights = torch.ones(1, 3, 1, 1, 1, dtype=torch.float64)
    operators.multi_scale_deformable_attention(value, locations, weights, sizes=[(1, 4)]).sum().backward()
    per_pixel = locations.grad[0, :, 0, 0, 0, 0] / 4
    assert per_pixel.tolist() == [3.0, 11.0 - 5.0, 0.0 - 4.0]


def test_it_equals_mmcv(operators):
    theirs = pytest.importorskip("mmcv.ops.multi_scale_deform_attn")
    torch.manual_seed(1)
    a = {name: value.requires_grad_() for name, value in attention_arguments().items()}
    expected = theirs.multi_scale_deformable_attn_pytorch(a["value"], torch.tensor(SIZES), a["locations"], a["weights"])
    output = operators.multi_scale_deformable_attention(**a, sizes=SIZES)
    torch.testing.assert_close(output, expected)
    probe = torch.randn_like(output)
    for ours, other in zip(*(torch.autograd.grad(y, list(a.values()), probe) for y in (output, expected)), strict=True):
        torch.testing.assert_close(ours, other)


def test_gradients_against_finite_differences(operators):
    torch.manual_seed(2)
    sizes = [(3, 4), (1, 2)]
    a = attention_arguments(batch=1, sizes=sizes, queries=2, heads=2, points=2, channels=3)

    def attend(*tensors):
        return operators.multi_scale_deformable_attention(*tensors, sizes=sizes)

    # Fast: along one random direction, not along each axis.
    leaves = [value.requires_grad_() for value in a.values()]
    assert torch.autograd.gradcheck(attend, leaves, fast_mode=operators.interpreted)


SHAPES = {
    "as in A2J-Transformer": {"sizes": [(8, 8), (4, 4), (2, 2), (1, 1)], "heads": 8, "channels": 32, "queries": 85},
    "odd numbers": {"sizes": [(5, 3), (2, 7)], "heads": 3, "channels": 7, "points": 5},
    "one channel": {"channels": 1},
    "prime channels": {"channels": 71, "heads": 1},
    "many channels": {"channels": 160},
    "one pixel": {"sizes": [(1, 1)], "points": 1},
    "one row": {"sizes": [(1, 9)]},
    "many points": {"sizes": [(6, 6)], "points": 33},
}
INTERPRETED = [
    ("odd numbers", torch.float64),
    ("one pixel", torch.float32),
    ("many points", torch.float16),
    ("prime channels", torch.bfloat16),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_accuracy(native, shape, dtype):
    skip_where_interpreted(native, (shape, dtype) not in INTERPRETED)
    torch.manual_seed(3)
    a = attention_arguments(**SHAPES[shape], dtype=torch.float32)
    check_accuracy(native, a, dtype, SHAPES[shape].get("sizes", SIZES))


def check_accuracy(operators, arguments, dtype, sizes, slack=1.0):
    """Assert that result and gradients in `dtype` are within `slack` tolerances of the reference in float64."""
    work = torch.promote_types(dtype, torch.float32)
    arguments = {name: value.to(work if name == "locations" else dtype) for name, value in arguments.items()}
    batch, queries, heads = arguments["weights"].shape[:3]
    probe = torch.randn(batch, queries, heads * arguments["value"].shape[-1]).to(dtype)
    compare_with_float64(operators, "multi_scale_deformable_attention", arguments, dtype, slack, probe, sizes=sizes)


HOSTILE = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, 3e9, -3e9, 65504.0])


@pytest.mark.parametrize("number", range(int(os.environ.get("DFMAMBA_FUZZ_CASES", "60"))))
def test_random_case(native, number):
    skip_where_interpreted(native, number not in (0, 2, 6, 7, 14, 15))  # those of few programs
    if native.backend == "triton" and number >= 60:
        pytest.skip("each kind of arguments is compiled anew: seconds a case")
    check_random_case(native, number)


def check_random_case(operators, number):
    choose = random.Random(number)
    torch.manual_seed(number)
    sizes = [(choose.choice([1, 2, 3, 5, 16]), choose.choice([1, 2, 4, 7, 12])) for _ in range(choose.randint(1, 4))]
    a = attention_arguments(
        batch=choose.choice([0, 1, 1, 2, 3]),
        sizes=sizes,
        queries=choose.choice([1, 2, 9, 40]),
        heads=choose.choice([1, 2, 3, 8]),
        points=choose.choice([1, 2, 4, 5]),
        channels=choose.choice([1, 2, 5, 8, 16, 30, 32, 33, 64, 71, 160]),
        dtype=torch.float32,
    )
    if choose.random() < 0.5:
        shape = a["locations"].shape
        spoiled = torch.rand(shape) < choose.choice([0.01, 0.3])
        a["locations"] = torch.where(spoiled, HOSTILE[torch.randint(len(HOSTILE), shape)], a["locations"])
    if choose.random() < 0.5:
        a = {name: value.transpose(0, 1).contiguous().transpose(0, 1) for name, value in a.items()}
    dtype = choose.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16])
    check_accuracy(operators, a, dtype, sizes, slack=3)


@pytest.mark.parametrize("empty", ["batch", "queries", "channels", "points"])
def test_empty_arguments(operators, empty):
    a = {name: value.requires_grad_() for name, value in attention_arguments(**{empty: 0}).items()}
    output = operators.multi_scale_deformable_attention(**a, sizes=SIZES)
    assert output.shape == (*a["weights"].shape[:2], a["value"].shape[2] * a["value"].shape[3])
    assert (output == 0).all()
    output.sum().backward()
    assert all((leaf.grad == 0).all() for leaf in a.values())


def test_layout_does_not_matter(operators):
    torch.manual_seed(4)
    a = attention_arguments(dtype=torch.float32)
    expected = operators.multi_scale_deformable_attention(**a, sizes=SIZES)
    for change in (
        lambda t: t.transpose(1, 2).contiguous().transpose(1, 2),
        lambda t: torch.stack([t, torch.full_like(t, math.nan)], -1)[..., 0],
        lambda t: torch.cat([t, t], -1)[..., : t.shape[-1]],
    ):
        changed = {name: change(value) for name, value in a.items()}
        assert torch.equal(operators.multi_scale_deformable_attention(**changed, sizes=SIZES), expected)


OFF_THE_LEVEL = (math.nan, math.inf, -math.inf, 1e30, -1e30, 3e9, -0.51 / 7, 1 + 0.51 / 7, -5.0, 6.0)


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("axis", [0, 1])
def test_points_off_the_level_contribute_nothing_whatever_their_weight(operators, axis, dtype, hostile):
    skip_where_interpreted(operators, (dtype, hostile) != (torch.float32, math.inf))
    torch.manual_seed(5)
    a = attention_arguments(batch=1, sizes=[(7, 7)], queries=len(OFF_THE_LEVEL), points=2, dtype=dtype)
    a["locations"] = torch.rand(a["locations"].shape, dtype=torch.promote_types(dtype, torch.float32))
    a["locations"][0, :, 0, 0, 0, axis] = torch.tensor(OFF_THE_LEVEL)
    off = torch.zeros(a["weights"].shape, dtype=torch.bool)
    off[0, :, 0, 0, 0] = True

    def run(weight):
        leaves = {**a, "weights": a["weights"].masked_fill(off, weight)}
        leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        output = operators.multi_scale_deformable_attention(**leaves, sizes=[(7, 7)])
        return output, *torch.autograd.grad((output * output.detach()).sum(), list(leaves.values()))

    with_hostile, without = run(hostile), run(0)
    for ours, expected in zip(with_hostile, without, strict=True):
        assert ours.isfinite().all()
        assert torch.equal(ours, expected)
    assert (with_hostile[2][off] == 0).all()
    assert (with_hostile[3][off] == 0).all()


def test_what_lies_beside_a_level_is_not_read(operators):
    value = torch.ones(1, 4 + 4, 1, 3)
    value[0, 4:] = math.nan  # the other level, whose pixels follow in memory
    locations = torch.full((1, 1, 1, 2, 1, 2), 0.99)
    locations[0, 0, 0, 1] = 2.0
    output = operators.multi_scale_deformable_attention(value, locations, torch.ones(1, 1, 1, 2, 1), sizes=[(2, 2)] * 2)
    torch.testing.assert_close(output, torch.full_like(output, (1 - 0.48) ** 2))


@pytest.mark.parametrize("batch", [1, 3])
def test_number_of_threads_changes_no_bit(batch):
    operators, threads = operators_of("cpu"), torch.get_num_threads()
    torch.manual_seed(6)
    a = attention_arguments(batch, [(16, 16), (8, 8)], 320, 8, 4, 32, dtype=torch.float32)
    leaves = [value.requires_grad_() for value in a.values()]
    probe = torch.randn(batch, 320, 256)

    def run(count):
        torch.set_num_threads(count)
        output = operators.multi_scale_deformable_attention(*leaves, sizes=[(16, 16), (8, 8)])
        return output, *torch.autograd.grad(output, leaves, probe)

    try:
        one = run(1)
        for count in (1, 2, 3):
            assert all(map(torch.equal, run(count), one))
    finally:
        torch.set_num_threads(threads)


def test_only_the_wanted_gradients_come(operators):
    a = attention_arguments()
    for name in a:
        leaves = {**a, name: a[name].clone().requires_grad_()}
        operators.multi_scale_deformable_attention(**leaves, sizes=SIZES).sum().backward()
        assert leaves[name].grad.isfinite().all()


def test_autocast_takes_the_value_and_keeps_locations(operators):
    torch.manual_seed(7)
    a = attention_arguments(dtype=torch.float32)
    expected = operators.multi_scale_deformable_attention(**{**a, "value": a["value"].bfloat16()}, sizes=SIZES)
    with torch.autocast(operators.device, torch.bfloat16):
        output = operators.multi_scale_deformable_attention(**a, sizes=SIZES)
        double = operators.multi_scale_deformable_attention(**attention_arguments(), sizes=SIZES)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, expected)
    assert double.dtype == torch.float64


def test_second_derivatives_are_refused(native):
    if native.backend == "cuda":
        pytest.skip("runs on the reference")
    a = {name: value.requires_grad_() for name, value in attention_arguments().items()}
    output = native.multi_scale_deformable_attention(**a, sizes=SIZES)
    (grad,) = torch.autograd.grad(output.square().sum(), a["value"], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        grad.sum().backward()


def test_forward_mode_is_refused(operators):
    a = attention_arguments()

    def attend(value):
        return operators.multi_scale_deformable_attention(**{**a, "value": value}, sizes=SIZES)

    with pytest.raises(NotImplementedError, match="no forward-mode derivatives"):
        func.jvp(attend, (a["value"],), (a["value"],))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivatives"):
        attend(forward_ad.make_dual(a["value"], a["value"]))


def test_transforms_of_torch_func(operators):
    torch.manual_seed(8)
    samples = [attention_arguments(dtype=torch.float32) for _ in range(3)]
    stacked = [torch.stack(values) for values in zip(*(a.values() for a in samples), strict=True)]

    def loss(*tensors):
        return operators.multi_scale_deformable_attention(*tensors, sizes=SIZES).square().sum()

    per_sample = func.vmap(func.grad(loss, (0, 1, 2)))(*stacked)
    for number, a in enumerate(samples):
        leaves = [value.requires_grad_() for value in a.values()]
        for ours, expected in zip(per_sample, torch.autograd.grad(loss(*leaves), leaves), strict=True):
            torch.testing.assert_close(ours[number], expected)
    torch.testing.assert_close(func.functionalize(loss)(*samples[0].values()), loss(*samples[0].values()))


@needs_extension
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("contiguous", [True, False])
def test_registration(contiguous, dtype):
    torch.manual_seed(9)
    a = attention_arguments(dtype=torch.float32)
    value, locations, weights = a["value"].to(dtype), a["locations"], a["weights"].to(dtype)
    if not contiguous:
        value, locations, weights = (
            t.transpose(1, 2).contiguous().transpose(1, 2) for t in (value, locations, weights)
        )
    sizes = [extent for size in SIZES for extent in size]
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    tolerance = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 2e-2, "rtol": 2e-2}
    torch.library.opcheck(torch.ops.dfmamba.deformable_attention.default, (*leaves, sizes), **tolerance)
    grad = torch.randn(2, 6, 6).to(dtype)
    data = [leaf.detach() for leaf in leaves]
    torch.library.opcheck(torch.ops.dfmamba.deformable_attention_backward.default, (grad, *data, sizes), **tolerance)


def test_compiled_for_sizes_that_change(operators):
    torch._dynamo.reset()

    def attend(value, locations, weights, low, high):
        sizes = [(low.shape[0], low.shape[1]), (high.shape[0], high.shape[1])]
        return operators_function(value, locations, weights, sizes=sizes, backend=operators.backend)

    operators_function = multi_scale_deformable_attention
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch, sizes, queries in ((2, [(5, 7), (3, 4)], 6), (3, [(6, 4), (2, 8)], 9)):
        a = attention_arguments(batch, sizes, queries, dtype=torch.float32)
        leaves = [value.to(operators.device).requires_grad_() for value in a.values()]
        maps = [torch.zeros(*size) for size in sizes]
        output, expected = compiled(*leaves, *maps), attend(*leaves, *maps)
        torch.testing.assert_close(output, expected)
        probe = torch.randn_like(output)
        grads, expected_grads = (torch.autograd.grad(y, leaves, probe) for y in (output, expected))
        for ours, eager in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(ours, eager)


def test_traced_by_jit():
    a = attention_arguments(dtype=torch.float32)

    def attend(value, locations, weights):
        return multi_scale_deformable_attention(value, locations, weights, sizes=SIZES)

    traced = torch.jit.trace(attend, tuple(a.values()))
    other = attention_arguments(dtype=torch.float32)
    torch.testing.assert_close(traced(*other.values()), attend(*other.values()))


WRONG = {
    "axes of value": ({"value": torch.zeros(2, 49, 6)}, "value: expected 4 axes"),
    "integers": ({"value": torch.zeros(2, 49, 2, 3, dtype=torch.int)}, "value: expected floating-point numbers"),
    "pixels": ({"sizes": [(5, 7), (3, 4), (1, 3)]}, "sizes: expected levels of S = 49 pixels together"),
    "a size": ({"sizes": [(5, 7), (3, 4), (-1, -2)]}, r"sizes: expected \(height, width\) of each level, positive"),
    "a size with one number": ({"sizes": [(5, 7), (3, 4), (2,)]}, r"sizes: expected \(height, width\) of each level"),
    "no size": ({"value": torch.zeros(2, 0, 2, 3), "sizes": []}, r"sizes: expected \(height, width\) of each level"),
    "levels": ({"sizes": [(5, 7), (2, 7)]}, "weights: expected shape"),
    "axes of weights": ({"weights": torch.zeros(2, 6, 2, 12)}, "weights: expected 5 axes"),
    "heads": ({"weights": torch.zeros(2, 6, 3, 3, 4)}, "weights: expected shape"),
    "locations": ({"locations": torch.zeros(2, 6, 2, 3, 4, 3)}, "locations: expected shape"),
    "device": ({"locations": torch.zeros(2, 6, 2, 3, 4, 2, device="meta")}, "locations: expected the device of value"),
    "backend": ({"backend": "gpu"}, "backend: expected None or one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    change, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        multi_scale_deformable_attention(**{**attention_arguments(dtype=torch.float32), "sizes": SIZES, **change})


WRONG_FOR_THE_KERNEL = {
    "value": (lambda a: {"value": a["value"][0]}, "value: expected 4 axes"),
    "sizes": (lambda a: {"sizes": [5, 7, 3, 4, 1]}, "sizes: expected height and width"),
    "no size": (lambda a: {"sizes": []}, "sizes: expected height and width"),
    "a size": (lambda a: {"sizes": [5, 7, 3, 4, -1, -2]}, "sizes: expected positive integers"),
    "pixels": (lambda a: {"sizes": [5, 7, 3, 4, 1, 3]}, "sizes: expected as many pixels"),
    "locations": (lambda a: {"locations": a["locations"][..., :1]}, "locations: expected shape"),
    "dtype of locations": (lambda a: {"locations": a["locations"].bfloat16()}, "locations: expected dtype"),
    "weights": (lambda a: {"weights": a["weights"][0]}, "weights: expected 5 axes"),
    "heads": (lambda a: {"weights": a["weights"][:, :, :1]}, "weights: expected shape"),
    "dtype of weights": (lambda a: {"weights": a["weights"].double()}, "weights: expected dtype"),
}


@needs_extension
@pytest.mark.parametrize("case", WRONG_FOR_THE_KERNEL)
def test_the_operator_itself_checks_its_arguments(case):
    change, message = WRONG_FOR_THE_KERNEL[case]
    a = {**attention_arguments(dtype=torch.float32), "sizes": [5, 7, 3, 4, 1, 2]}
    with pytest.raises(RuntimeError, match=message):
        torch.ops.dfmamba.deformable_attention(**{**a, **change(a)})


def test_backends_without_a_kernel_of_their_own_run_the_reference():
    if available_backends()["cuda"] is not None:
        pytest.skip(available_backends()["cuda"])
    a = attention_arguments(dtype=torch.float32)
    expected = Operators("reference").multi_scale_deformable_attention(**a, sizes=SIZES)
    output = Operators("cuda").multi_scale_deformable_attention(**a, sizes=SIZES)
    torch.testing.assert_close(output, expected)
