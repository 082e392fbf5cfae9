"""Random shapes, layouts and hostile values against the reference in float64.

A case is made from its number alone. DFMAMBA_FUZZ_CASES=2000 makes a long run of it; the default is a short one.
"""

import math
import os
import random

import pytest
import torch
from operator_cases import cast, check_against_float64, compare_with_float64, skip_where_interpreted

CASES = int(os.environ.get("DFMAMBA_FUZZ_CASES", "200"))
# Found by a run of 10,000: a rounded u, or gradient of u, put gradients off by more than the tolerance.
FOUND = (3740, 4204, 4263, 4589, 5670, 8495, 8930)
HOSTILE = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 3e9, -3e9, 65504.0)


def strided(tensor, choose):
    """Return the same numbers in some other layout."""
    layout = choose.choice(["contiguous", "channels first", "every second", "slice of wider rows", "time first"])
    if layout == "channels first":
        return tensor.transpose(1, -1).contiguous().transpose(1, -1)
    if layout == "every second":
        return torch.stack([tensor, torch.full_like(tensor, float("nan"))], -1)[..., 0]
    if layout == "slice of wider rows":
        margin = torch.full_like(tensor, float("nan"))
        return torch.cat([margin, tensor, margin], -1)[..., tensor.shape[-1] : 2 * tensor.shape[-1]]
    if layout == "time first":
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    return tensor


def offsets(shape, choose):
    """Return offsets on a grid of 1/64 pixel, where coordinates are exact in float32, with hostile ones among them."""
    reach = choose.choice([0, 1, 3, 40])  # 0: the state of a fresh block, everything on the lattice
    offset = torch.randint(-64 * reach, 64 * reach + 1, shape) / 64
    if choose.random() < 0.3:
        offset = offset.round()
    if choose.random() < 0.5:
        spoiled = torch.rand(shape) < choose.choice([0.01, 0.3])
        offset = torch.where(spoiled, torch.tensor(HOSTILE)[torch.randint(len(HOSTILE), shape)], offset)
    return offset


def make_case(number):
    """Return the arguments of `dssm`, the dtype to run in, the size and whether softplus is on."""
    choose = random.Random(number)
    torch.manual_seed(number)
    axes = choose.choice([1, 2, 2, 2])
    size = tuple(choose.choice([1, 2, 3, 5, 8, 12]) for _ in range(axes))
    if choose.random() < 0.1:
        size = (choose.choice([130, 300]),) if axes == 1 else (20, 17)
    length = size[0] * (size[1] if axes == 2 else 1)
    batch = choose.choice([0, 1, 1, 2, 3])
    channels = choose.choice([1, 2, 5, 8, 16, 30, 33, 64, 71, 160])
    groups = choose.choice([group for group in range(1, channels + 1) if channels % group == 0 and group <= 10])
    anchors = choose.choice([1, 9, 25] if axes == 2 else [1, 3, 5])
    states = choose.choice([1, 2, 3, 8, 8, 16, 16, 17, 64])
    dtype = choose.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16])
    softplus = choose.random() < 0.8
    steps = choose.choice([1.0, 1.0, 30.0])  # times the state's growth, which a half-precision result must hold
    delta = torch.randn(batch, length, channels) * (steps if dtype in (torch.float32, torch.float64) else 1.0)
    arguments = {
        "x": torch.randn(batch, length, channels),
        "offset": offsets((batch, length, groups, anchors, axes), choose),
        "weight": torch.randn(batch, length, groups, anchors),
        "delta": delta if softplus else delta.abs(),  # d < 0 would let the state explode
        "A": -torch.rand(channels, states) * choose.choice([1.0, 16.0, 1e4]),
        "B": torch.randn(batch, length, states),
        "C": torch.randn(batch, length, states),
        "D": torch.randn(channels) if choose.random() < 0.7 else None,
        "delta_bias": torch.randn(channels).abs() if choose.random() < 0.7 else None,
    }
    arguments = cast(arguments, dtype)
    for name in ("x", "offset", "weight", "delta", "B", "C"):
        arguments[name] = strided(arguments[name], choose)
    return arguments, dtype, size, softplus


@pytest.mark.parametrize("number", [*range(CASES), *(number for number in FOUND if number >= CASES)])
def test_random_case(native, number):
    arguments, dtype, size, softplus = make_case(number)
    batch, length, channels = arguments["x"].shape
    skip_where_interpreted(native, number >= 32 or batch * length * math.ceil(channels / 32) > 10)
    if native.backend == "triton" and number >= 60:
        pytest.skip("each kind of arguments is compiled anew: seconds a case")
    # a gradient of few numbers may be a small difference of large, rounded ones
    check_against_float64(native, arguments, dtype, size, softplus, slack=3)


def almost(tensor, dtype):
    """Return numbers of `dtype` that differ from the given ones by up to four steps of the dtype."""
    return (tensor * (1 + torch.rand(tensor.shape).mul(8).sub(4) * torch.finfo(dtype).eps)).to(dtype).float()


def doubled(tensor, axis, dtype, sign=1):
    """Return every number and, next to it on the axis, `sign` times almost the same."""
    return torch.stack([tensor, sign * almost(tensor, dtype)], axis + 1).flatten(axis, axis + 1)


def pairs_of_channels(length, channels, groups, states, dtype, choose):
    """Return arguments for one image, in which channels 2 i and 2 i + 1 are almost the same."""
    half = torch.randn(1, length, channels // 2).to(dtype).float()
    return {
        "x": doubled(half, 2, dtype),
        "offset": offsets((1, length, groups, 9, 2), choose),
        "weight": torch.rand(1, length, groups, 9),
        "delta": torch.rand(half.shape).repeat_interleave(2, 2),
        "A": -torch.rand(channels // 2, states).repeat_interleave(2, 0),
        "B": torch.rand(1, length, states),
        "C": torch.rand(1, length, states),
        "D": torch.rand(channels),
        "delta_bias": torch.ones(channels),
    }


def pairs_of_tokens(length, channels, groups, states, dtype, choose):
    """The same, but nothing moves or decays, and tokens 2 t and 2 t + 1 cancel: so y is a small difference too."""
    half = torch.randn(1, length // 2, channels // 2).to(dtype).float()
    return {
        "x": doubled(doubled(half, 1, dtype, -1), 2, dtype),
        "offset": torch.zeros(1, length, groups, 1, 2),
        "weight": torch.rand(1).expand(1, length, groups, 1),
        "delta": torch.zeros(1, length, channels),
        "A": torch.full((channels, states), -1e-5),
        "B": torch.rand(1, 1, states).expand(1, length, states),
        "C": torch.rand(1, 1, states).expand(1, length, states),
        "D": torch.zeros(channels),
        "delta_bias": torch.ones(channels),
    }


def make_cancelling_case(number):
    """Return arguments of `dssm` whose sums nearly cancel, the dtype, the size, and what to multiply the result by.

    Every channel, and every image, has a neighbour that is almost the same but counts with the other sign. So the
    gradients of offset, weight, B and C, sums over channels, and those of A, D and delta_bias, sums over images, are
    small differences of large numbers. A half-precision u, or gradient of u, in between puts them off by 16 to 23 %.
    """
    choose = random.Random(number)
    torch.manual_seed(number)
    dtype = (torch.bfloat16, torch.float16)[number // 2 % 2]
    height, width = choose.choice([(4, 6), (8, 8), (1, 10)])
    channels, groups, states = choose.choice([(16, 1, 8), (8, 2, 3), (32, 1, 16), (6, 1, 1)])
    make = (pairs_of_channels, pairs_of_tokens)[number % 2]
    a = make(height * width, channels, groups, states, dtype, choose)
    for name in ("offset", "weight", "delta", "B", "C"):
        a[name] = torch.cat([a[name], a[name]])
    a["x"] = doubled(a["x"], 0, dtype)
    probe = torch.rand(1, height * width, channels // 2).to(dtype).float()
    probe /= 8 * torch.finfo(dtype).eps  # so that the differences are of the order of 1
    return cast(a, dtype), dtype, (height, width), doubled(doubled(probe, 2, dtype, -1), 0, dtype, -1)


@pytest.mark.parametrize("operator", ["dssm", "deform_sample", "selective_scan"])
@pytest.mark.parametrize("number", range(max(8, CASES // 10)))
def test_cancelling_case(operators, operator, number):
    arguments, dtype, size, probe = make_cancelling_case(number)
    skip_where_interpreted(operators, operator != "dssm" or number not in (5, 6))
    options = {} if operator == "selective_scan" else {"size": size}
    if operator == "deform_sample":
        arguments = {name: arguments[name] for name in ("x", "offset", "weight")}
    elif operator == "selective_scan":
        arguments = {"u": arguments.pop("x")} | {name: arguments[name] for name in list(arguments)[2:]}
    compare_with_float64(operators, operator, arguments, dtype, 1, probe, **options)
