"""Random shapes, layouts and hostile values against the reference in float64.

A case is made from its number alone. DFMAMBA_FUZZ_CASES=2000 makes a long run of it; the default is a short one.
"""

import os
import random

import pytest
import torch
from operator_cases import cast, check_against_float64

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
    # a gradient of few numbers may be a small difference of large, rounded ones
    check_against_float64(native, arguments, dtype, size, softplus, slack=3)
