"""Checks at the boundary of the operators: each message names the argument, what was expected and what came."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor


def check_same_device(tensors: dict[str, Tensor | None]) -> None:
    """Raise ValueError unless all tensors are on the device of the first, and hold floating-point numbers."""
    first_name, device = None, None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if device is None:
            first_name, device = name, tensor.device
        if tensor.device != device:
            raise ValueError(f"{name}: expected the device of {first_name}, {device}, got {tensor.device}")
        if not tensor.dtype.is_floating_point:
            raise ValueError(f"{name}: expected floating-point numbers, got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    """Raise ValueError unless the tensor has the expected shape."""
    if tensor.shape != expected:
        raise ValueError(f"{name}: expected shape {meaning} = {expected}, got {tuple(tensor.shape)}")


def check_sample(x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]) -> None:
    """Check the arguments of `deform_sample`; raises ValueError."""
    if torch.jit.is_tracing():  # shapes are tensors there; the kernels check, too
        return
    check_same_device({"x": x, "offset": offset, "weight": weight})
    if x.dim() != 3:
        raise ValueError(f"x: expected 3 axes (batch, L, channels), got shape {tuple(x.shape)}")
    if len(size) not in (1, 2) or min(size) < 1:
        raise ValueError(f"size: expected (H, W) or (L,) of positive integers, got {tuple(size)}")
    batch, length, channels = x.shape
    if length != prod(size):
        raise ValueError(f"size: expected a product of L = {length}, as x has tokens, got {tuple(size)} = {prod(size)}")
    if offset.dim() != 5:
        raise ValueError(f"offset: expected 5 axes (batch, L, groups, K, {len(size)}), got shape {tuple(offset.shape)}")
    groups, num_anchors = offset.shape[2:4]
    if groups < 1 or channels % groups:
        raise ValueError(
            f"offset: expected a number of groups (axis 2) that divides the {channels} channels of x, got {groups}"
        )
    side = round(num_anchors ** (1 / len(size)))
    if side ** len(size) != num_anchors or side % 2 == 0:
        expected = "an odd square (1, 9, 25)" if len(size) == 2 else "an odd number (1, 3, 5)"
        raise ValueError(f"offset: expected K (axis 3) to be {expected}, got {num_anchors}")
    check_shape("offset", offset, (batch, length, groups, num_anchors, len(size)), "(batch, L, groups, K, axes)")
    check_shape("weight", weight, (batch, length, groups, num_anchors), "(batch, L, groups, K)")


def check_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    input_name: str = "u",
) -> None:
    """Check the arguments of `selective_scan`, whose input the caller knows as `input_name`; raises ValueError."""
    if torch.jit.is_tracing():
        return
    check_same_device({input_name: u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias})
    if u.dim() != 3:
        raise ValueError(f"{input_name}: expected 3 axes (batch, L, channels), got shape {tuple(u.shape)}")
    batch, length, channels = u.shape
    if A.dim() != 2:
        raise ValueError(f"A: expected 2 axes (channels, N), got shape {tuple(A.shape)}")
    num_states = A.shape[1]
    check_shape("delta", delta, (batch, length, channels), "(batch, L, channels)")
    check_shape("A", A, (channels, num_states), "(channels, N)")
    check_shape("B", B, (batch, length, num_states), "(batch, L, N)")
    check_shape("C", C, (batch, length, num_states), "(batch, L, N)")
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        if vector is not None:
            check_shape(name, vector, (channels,), "(channels,)")


def check_attention(value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[Sequence[int]]) -> None:
    """Check the arguments of `multi_scale_deformable_attention`; raises ValueError."""
    if torch.jit.is_tracing():
        return
    check_same_device({"value": value, "locations": locations, "weights": weights})
    if value.dim() != 4:
        raise ValueError(f"value: expected 4 axes (batch, S, heads, channels), got shape {tuple(value.shape)}")
    if not sizes or any(len(size) != 2 or min(size) < 1 for size in sizes):
        raise ValueError(f"sizes: expected (height, width) of each level, positive integers, got {list(sizes)}")
    batch, pixels, heads, _ = value.shape
    if pixels != sum(height * width for height, width in sizes):
        raise ValueError(f"sizes: expected levels of S = {pixels} pixels together, as value has, got {list(sizes)}")
    if weights.dim() != 5:
        raise ValueError(
            f"weights: expected 5 axes (batch, queries, heads, levels, points), got shape {tuple(weights.shape)}"
        )
    queries, points = weights.shape[1], weights.shape[4]
    expected, axes = (batch, queries, heads, len(sizes), points), "batch, queries, heads, levels, points"
    check_shape("weights", weights, expected, f"({axes})")
    check_shape("locations", locations, (*expected, 2), f"({axes}, 2)")
