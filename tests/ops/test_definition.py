"""The operators of every backend against hand-made cases, plain loops, mmcv, and finite differences."""

import math
from functools import partial

import pytest
import torch
from operator_cases import random_arguments, skip_where_interpreted

from dfmamba.ops import available_backends, dssm, selective_scan

float64 = partial(torch.randn, dtype=torch.float64)


def zero_offsets(batch, length, groups, anchors, axes=2):
    """Return the offsets and weights of a fresh block: nothing moves, only the center anchor counts."""
    weight = torch.zeros(batch, length, groups, anchors, dtype=torch.float64)
    weight[..., anchors // 2] = 1
    return torch.zeros(batch, length, groups, anchors, axes, dtype=torch.float64), weight


def bilinear_by_hand(image, y, x):
    """Interpolate a (H, W) image at one point in plain Python; 0 outside."""
    height, width = image.shape
    y0, x0 = math.floor(y), math.floor(x)
    total = 0.0
    for row, share_y in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for column, share_x in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            if 0 <= row < height and 0 <= column < width:
                total += share_y * share_x * image[row, column].item()
    return total


@pytest.mark.parametrize(("anchors", "radius"), [(1, 0), (9, 1), (25, 2)])
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (5, 1), (1, 1)])
def test_sample_is_the_sum_over_anchors(operators, anchors, radius, size):
    torch.manual_seed(0)
    height, width = size
    x, groups = float64(2, height * width, 4), 2
    offset = float64(2, height * width, groups, anchors, 2) * 2
    weight = float64(2, height * width, groups, anchors)
    u = operators.deform_sample(x, offset, weight, size=size)
    for batch, token, channel in [(0, 0, 0), (1, height * width - 1, 3), (0, height * width // 2, 1)]:
        group = channel // 2
        image = x[batch, :, channel].view(height, width)
        expected, k = 0.0, 0
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                oy, ox = offset[batch, token, group, k].tolist()
                value = bilinear_by_hand(image, token // width + dy + oy, token % width + dx + ox)
                expected += weight[batch, token, group, k].item() * value
                k += 1
        assert u[batch, token, channel].item() == pytest.approx(expected, abs=1e-12)


def test_sample_on_one_axis(operators):
    x = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1)
    weight = torch.tensor([0.0, 1.0, 0.0]).expand(1, 3, 1, 3)
    offset = torch.full((1, 3, 1, 3, 1), 0.25)
    u = operators.deform_sample(x, offset, weight, size=(3,))
    # 0.75 x[t] + 0.25 x[t + 1], and 0 beyond the end
    assert u.flatten().tolist() == pytest.approx([3.25, 32.5, 75.0])


def test_zero_offset_returns_the_input(operators):
    x = float64(2, 12, 6)
    offset, weight = zero_offsets(2, 12, 3, 9)
    assert torch.equal(operators.deform_sample(x, offset, weight, size=(3, 4)), x)


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_hostile_offsets_give_nothing_and_break_nothing(operators, hostile):
    x = float64(1, 6, 2).requires_grad_()
    offset, weight = zero_offsets(1, 6, 1, 9)
    offset[0, 2, 0, 4, 0] = hostile
    offset.requires_grad_()
    u = operators.deform_sample(x, offset, weight, size=(2, 3))
    u.sum().backward()
    assert torch.equal(u[0, 2], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(u[0, 3], x[0, 3])
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(offset.grad).all()


OFF_THE_MAP = (math.nan, math.inf, -math.inf, 1e30, -1.0000001, -7.0, 4.0, 5.5)  # rows of points, on a map of 4


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_weight_of_a_point_off_the_map_does_not_matter(operators, hostile, dtype):
    skip_where_interpreted(operators, (hostile, dtype) != (math.inf, torch.bfloat16))
    torch.manual_seed(7)
    a = {name: value.to(dtype) for name, value in random_arguments(1, (4, 5), 6, 2, 1).items()}
    a["offset"] = a["offset"].to(torch.promote_types(dtype, torch.float32)) % 0.9 + 0.05  # on the map, off the lattice
    for token, row in enumerate(OFF_THE_MAP):
        a["offset"][0, token, 0, 0, 0] = row - token // 5
    a["offset"][0, 9, 0, 0, 1] = math.nan  # off the map by its other axis
    off = torch.zeros(a["weight"].shape, dtype=torch.bool)
    off[0, : len(OFF_THE_MAP), 0] = off[0, 9, 0] = True
    probe = torch.randn_like(a["x"])

    def run(weight):
        leaves = {**a, "weight": a["weight"].masked_fill(off, weight)}
        leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        y = operators.dssm(**leaves, size=(4, 5))
        u = operators.deform_sample(*(leaves[name] for name in ("x", "offset", "weight")), size=(4, 5))
        return y, u, torch.autograd.grad((y + u).sum() + (y * probe).sum(), list(leaves.values()))

    y, u, grads = run(hostile)
    expected_y, expected_u, expected_grads = run(0)
    assert torch.equal(y, expected_y)
    assert torch.equal(u, expected_u)
    for name, ours, expected in zip(a, grads, expected_grads, strict=True):
        assert torch.equal(ours, expected), name
        assert ours.isfinite().all(), name
    assert (grads[2][off] == 0).all()
    assert (grads[1][off] == 0).all()


def test_of_a_point_half_on_the_map_only_the_corners_on_it_count(operators):
    x = torch.tensor([2.0, 3.0], dtype=torch.float64).view(1, 2, 1)
    for hostile in (math.inf, -math.inf):
        weight = torch.tensor([hostile, 1.0], dtype=torch.float64).view(1, 2, 1, 1)
        offset = torch.tensor([-0.75, 0.0], dtype=torch.float64).view(1, 2, 1, 1, 1)
        assert operators.deform_sample(x, offset, weight, size=(2,)).flatten().tolist() == [hostile, 3.0]
    weight[0, 0] = math.nan
    assert operators.deform_sample(x, offset, weight, size=(2,))[0, 0].isnan()


def test_what_lies_outside_is_not_read_from_anywhere(operators):
    x = torch.ones(1, 6, 1, dtype=torch.float64)
    x[0, 0] = math.nan
    offset, weight = zero_offsets(1, 6, 1, 9)
    weight[:] = 1
    u = operators.deform_sample(x, offset, weight, size=(2, 3))
    # The 3x3 neighbourhoods of the last column reach beyond the map, but not to the first pixel.
    assert u.isnan().flatten().tolist() == [True, True, False, True, True, False]
    assert u[0, 5] == 4


def test_derivative_on_the_lattice_is_the_one_from_the_right(operators):
    x = torch.tensor([3.0, 5.0, 11.0], dtype=torch.float64).view(1, 3, 1)
    offset = torch.zeros(1, 3, 1, 1, 1, dtype=torch.float64)
    offset[0, 0] = -1.0  # the point -1: the map begins to its right
    offset.requires_grad_()
    operators.deform_sample(x, offset, torch.ones(1, 3, 1, 1, dtype=torch.float64), size=(3,)).sum().backward()
    assert offset.grad.flatten().tolist() == [3.0, 11.0 - 5.0, 0.0 - 11.0]


def test_sample_equals_mmcv_modulated_deformable_convolution(operators):
    ops = pytest.importorskip("mmcv.ops")
    torch.manual_seed(1)
    batch, height, width, channels, groups = 2, 5, 7, 8, 2
    arguments = random_arguments(batch, (height, width), channels, groups, 9, dtype=torch.float32)
    ours = {name: arguments[name].clone().requires_grad_() for name in ("x", "offset", "weight")}
    u = operators.deform_sample(**ours, size=(height, width))

    theirs = {name: arguments[name].clone().requires_grad_() for name in ("x", "offset", "weight")}
    image = theirs["x"].transpose(1, 2).reshape(batch, channels, height, width).contiguous()
    offset = theirs["offset"].flatten(2).transpose(1, 2).reshape(batch, -1, height, width).contiguous()
    mask = theirs["weight"].flatten(2).transpose(1, 2).reshape(batch, -1, height, width).contiguous()
    ones = torch.ones(channels, 1, 3, 3)
    expected = ops.modulated_deform_conv2d(image, offset, mask, ones, None, 1, 1, 1, channels, groups)
    expected = expected.flatten(2).transpose(1, 2)

    torch.testing.assert_close(u, expected, rtol=1e-5, atol=1e-5)
    probe = torch.randn_like(u)
    u.backward(probe)
    expected.backward(probe)
    for name in ours:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("softplus", [True, False])
def test_scan_is_the_recurrence(operators, softplus):
    torch.manual_seed(2)
    a = random_arguments()
    scanned = (a[name] for name in ("x", "delta", "A", "B", "C", "D", "delta_bias"))
    y = operators.selective_scan(*scanned, delta_softplus=softplus)
    channel, batch, h = 4, 1, torch.zeros(3, dtype=torch.float64)
    for t in range(20):
        s = a["delta"][batch, t, channel] + a["delta_bias"][channel]
        d = torch.log1p(torch.exp(s)) if softplus else s
        u = a["x"][batch, t, channel]
        h = torch.exp(d * a["A"][channel]) * h + d * a["B"][batch, t] * u
        assert y[batch, t, channel].item() == pytest.approx((a["C"][batch, t] @ h + a["D"][channel] * u).item())


def test_scan_of_a_constant_by_hand(operators):
    # d = 1, A = -ln 2: the state halves and gains 1 at every step: 1, 1.5, 1.75
    one = torch.ones(1, 3, 1)
    y = operators.selective_scan(one, one, torch.tensor([[-math.log(2)]]), one, one, delta_softplus=False)
    assert y.flatten().tolist() == pytest.approx([1.0, 1.5, 1.75])


def test_skip_multiplies_the_undeformed_input(operators):
    torch.manual_seed(3)
    a = random_arguments()
    without = operators.dssm(**{**a, "D": None}, size=(4, 5))
    torch.testing.assert_close(operators.dssm(**a, size=(4, 5)), without + a["D"] * a["x"])
    u = operators.deform_sample(a["x"], a["offset"], a["weight"], size=(4, 5))
    expected = operators.selective_scan(u, a["delta"], a["A"], a["B"], a["C"], None, a["delta_bias"])
    torch.testing.assert_close(without, expected)


@pytest.mark.parametrize(("size", "anchors"), [((4, 5), 9), ((2, 3), 25), ((5,), 3), ((1, 4), 1)])
def test_gradients_against_finite_differences(operators, size, anchors):
    skip_where_interpreted(operators, math.prod(size) > 6)
    torch.manual_seed(4)
    arguments = random_arguments(batch=1, size=size, channels=4, anchors=anchors, states=2)
    names, tensors = list(arguments), [tensor.requires_grad_() for tensor in arguments.values()]

    def operator(*values):
        return operators.dssm(**dict(zip(names, values, strict=True)), size=size)

    # Fast: along one random direction, not along each axis.
    assert torch.autograd.gradcheck(operator, tensors, fast_mode=operators.interpreted)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float32, 1e-5)])
def test_low_precision_inputs_are_computed_in_float32(operators, dtype, tolerance):
    torch.manual_seed(5)
    a = {name: tensor.to(dtype) for name, tensor in random_arguments().items()}
    y = operators.dssm(**a, size=(4, 5))
    exact = operators.dssm(**{name: tensor.double() for name, tensor in a.items()}, size=(4, 5))
    assert y.dtype == dtype
    assert (y.double() - exact).norm() / exact.norm() < tolerance


def test_layout_does_not_matter(operators):
    torch.manual_seed(6)
    a = random_arguments()
    expected = operators.dssm(**a, size=(4, 5))
    for name in ("x", "offset", "weight", "delta", "B", "C"):
        strided = torch.empty(*a[name].shape[:-1], 2 * a[name].shape[-1], dtype=torch.float64)[..., ::2].copy_(a[name])
        assert torch.equal(operators.dssm(**{**a, name: strided}, size=(4, 5)), expected)
    # a channels-last feature map seen as tokens
    image = a["x"].transpose(1, 2).reshape(2, 6, 4, 5).contiguous()
    assert torch.equal(operators.dssm(**{**a, "x": image.flatten(2).transpose(1, 2)}, size=(4, 5)), expected)


def test_empty_batch(operators):
    y = operators.dssm(**{name: (t[:0] if t.dim() > 2 else t) for name, t in random_arguments().items()}, size=(4, 5))
    assert y.shape == (0, 20, 6)


WRONG = {
    "x-axes": ({"x": torch.zeros(20, 6)}, r"x: expected 3 axes.*\(20, 6\)"),
    "integers": ({"B": torch.zeros(2, 20, 3, dtype=torch.long)}, "B: expected floating-point numbers, got torch.int64"),
    "size": ({"size": (4, 4)}, "size: expected a product of L = 20.*= 16"),
    "size-axes": ({"size": (4, 5, 1)}, r"size: expected \(H, W\) or \(L,\)"),
    "anchors": ({"offset": torch.zeros(2, 20, 2, 4, 2)}, "K .axis 3. to be an odd square.*got 4"),
    "anchors-square": ({"offset": torch.zeros(2, 20, 2, 8, 2)}, "odd square.*got 8"),
    "groups": ({"offset": torch.zeros(2, 20, 4, 9, 2)}, "groups .axis 2. that divides the 6 channels.*got 4"),
    "offset-axes": ({"offset": torch.zeros(2, 20, 18)}, "offset: expected 5 axes"),
    "offset": ({"offset": torch.zeros(2, 20, 2, 9, 1)}, r"offset: expected shape .*got \(2, 20, 2, 9, 1\)"),
    "weight": ({"weight": torch.zeros(2, 20, 1, 9)}, r"weight: expected shape .*\(2, 20, 2, 9\), got \(2, 20, 1, 9\)"),
    "delta": ({"delta": torch.zeros(2, 20, 5)}, r"delta: expected shape .*\(2, 20, 6\), got \(2, 20, 5\)"),
    "A-axes": ({"A": torch.zeros(6)}, r"A: expected 2 axes"),
    "A": ({"A": torch.zeros(5, 3)}, r"A: expected shape .*\(6, 3\), got \(5, 3\)"),
    "B": ({"B": torch.zeros(2, 20, 4)}, r"B: expected shape .*\(2, 20, 3\), got \(2, 20, 4\)"),
    "C": ({"C": torch.zeros(2, 19, 3)}, r"C: expected shape .*\(2, 20, 3\), got \(2, 19, 3\)"),
    "D": ({"D": torch.zeros(3)}, r"D: expected shape .*\(6,\), got \(3,\)"),
    "delta_bias": ({"delta_bias": torch.zeros(1)}, r"delta_bias: expected shape .*\(6,\), got \(1,\)"),
    "device": ({"delta": torch.zeros(2, 20, 6, device="meta")}, "delta: expected the device of x, cpu, got meta"),
    "backend": ({"backend": "gpu"}, "backend: expected None or one of reference.*got 'gpu'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    change, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        dssm(**{**random_arguments(), "size": (4, 5), **change})


def test_scan_names_its_own_input():
    a = random_arguments()
    with pytest.raises(ValueError, match=r"u: expected 3 axes"):
        selective_scan(torch.zeros(3), a["delta"], a["A"], a["B"], a["C"])


def test_every_backend_works_or_says_why():
    a = random_arguments()
    for name, reason in available_backends().items():
        if reason is None:
            assert torch.isfinite(dssm(**a, size=(4, 5), backend=name)).all()
        else:
            with pytest.raises(ValueError, match=name):
                dssm(**a, size=(4, 5), backend=name)
