"""Triton kernels that sample maps at learned points: `deform_sample` and deformable attention, both directions.

Both sum weighted bilinear readings, out[q, c] = sum_k weight[q, k] map(point[q, k], c), and differ in how a point is
given: as an offset from an anchor around pixel q, or as a location in [0, 1]. The kernels take either. A program holds
a block of rows (queries or pixels), points and channels at once.

Rules of the border as in reference.py: a point counts if it is >= -1 and < extent on every axis, compared as
floating-point numbers, and a corner counts if it lies on the map. What does not count moves to -2, is never read and
contributes 0.

No atomics: the gradient of a map is gathered. Points are sorted by the pixel of their lower corner, and each pixel sums
the points of the four lists in which it is a corner. So the same call gives the same bits.

Imports Triton: triton_backend.py imports it when it is needed. Loops are `while`, because Triton's interpreter (3.6)
with numpy 2.4 takes no argument of a kernel as the bound of a `range`.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Integers of a call. Not specialised to their values, or each shape would be compiled anew.
_INTEGERS = (
    *("rows", "queries", "pixels", "groups", "channels", "points", "all_points"),
    *("first_pixel", "first_point", "height", "width", "side"),
)
BLOCK_E = 16  # entries of a list that a program takes at once


@triton.jit
def _point(coords, at, query, k, valid, height, width, side, LOCATIONS: tl.constexpr, AXES: tl.constexpr):
    """Return the lower corner's row and column, and how far below and right of it the point is; in pixels."""
    nan = float("nan")
    if LOCATIONS:
        x = tl.load(coords + 2 * at, valid, nan) * width - 0.5
        y = tl.load(coords + 2 * at + 1, valid, nan) * height - 0.5
    elif AXES == 2:
        radius = (side - 1) // 2
        y = (query // width + k // side - radius) + tl.load(coords + 2 * at, valid, nan)
        x = (query % width + k % side - radius) + tl.load(coords + 2 * at + 1, valid, nan)
    else:  # a map of one row, on which no point is above or below
        x = (query + k - (side - 1) // 2) + tl.load(coords + at, valid, nan)
        y = tl.zeros_like(x)
    counts = (y >= -1) & (y < height) & (x >= -1) & (x < width)
    y = tl.where(counts, y, -2.0)
    x = tl.where(counts, x, -2.0)
    row = tl.floor(y)
    column = tl.floor(x)
    return row.to(tl.int32), column.to(tl.int32), y - row, x - column


@triton.jit
def _corner(values, row, column, height, width, first_row, all_channels, channel, in_group, WORK: tl.constexpr):
    """Return whether pixels (rows, points) lie on the map, and its values there, (rows, points, channels), or 0."""
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    at = (first_row + row * width + column) * all_channels
    here = values + at[:, :, None] + channel[None, None, :]
    return inside, tl.load(here, inside[:, :, None] & in_group[None, None, :], 0.0).to(WORK)


@triton.jit(do_not_specialize=_INTEGERS)
def sample_kernel(
    values,  # (batch, pixels, groups * channels)
    coords,  # (batch, queries, groups, all_points, axes)
    weights,  # (batch, queries, groups, all_points)
    out,  # (batch, queries, groups * channels)
    rows,  # batch * queries
    queries,
    pixels,  # of all levels
    groups,
    channels,  # of a group
    points,  # of this level, in the order of all points from first_point on
    all_points,
    first_pixel,  # of this level
    first_point,
    height,
    width,
    side,  # anchors in a row
    ADD: tl.constexpr,  # to what is in out already
    LOCATIONS: tl.constexpr,
    AXES: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,  # at least `points`
    BLOCK_C: tl.constexpr,
):
    """Sample one map: a program for BLOCK_R queries and BLOCK_C channels of a group."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    query = (row % queries).to(tl.int32)
    first_row = row // queries * pixels + first_pixel
    blocks = tl.cdiv(channels, BLOCK_C)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * BLOCK_C + tl.arange(0, BLOCK_C)
    in_group = channel < channels
    channel += group * channels
    all_channels = groups * channels
    k = tl.arange(0, BLOCK_K)[None, :]
    valid = (row < rows)[:, None] & (k < points)

    at = ((row * groups + group) * all_points + first_point)[:, None] + k
    y, x, below, right = _point(coords, at, query[:, None], k, valid, height, width, side, LOCATIONS, AXES)
    weight = tl.load(weights + at, valid, 0.0).to(WORK)
    here = out + row[:, None] * all_channels + channel[None, :]
    mask = (row < rows)[:, None] & in_group[None, :]
    total = tl.zeros([BLOCK_R, BLOCK_C], WORK)
    if ADD:
        total += tl.load(here, mask, 0.0)
    for j in tl.static_range(2):
        for i in tl.static_range(2):
            inside, value = _corner(
                values, y + j, x + i, height, width, first_row[:, None], all_channels, channel, in_group, WORK
            )
            share = (below if j else 1 - below) * (right if i else 1 - right)
            share *= tl.where(inside, weight, 0.0)  # chosen before they are multiplied: 0 times NaN is NaN
            total += tl.sum(share[:, :, None] * value, 1)
    tl.store(here, total, mask)


@triton.jit(do_not_specialize=_INTEGERS)
def point_gradients_kernel(
    grad,  # of out
    values,
    coords,
    weights,
    grad_coords,
    grad_weights,
    cells,  # (batch, groups, queries, points): the lower corner's cell in a grid that begins at pixel (-1, -1)
    rows,
    queries,
    pixels,
    groups,
    channels,
    points,
    all_points,
    first_pixel,
    first_point,
    height,
    width,
    side,
    LOCATIONS: tl.constexpr,
    AXES: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_C: tl.constexpr,  # at least `channels`
):
    """Compute the gradients of coordinates and weights, and the points' cells.

    A program does it for BLOCK_R queries and all channels of a group, for whose sums the gradients are.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    query = (row % queries).to(tl.int32)
    image = row // queries
    first_row = image * pixels + first_pixel
    group = tl.program_id(1)
    channel = tl.arange(0, BLOCK_C)
    in_group = channel < channels
    channel += group * channels
    all_channels = groups * channels
    k = tl.arange(0, BLOCK_K)[None, :]
    valid = (row < rows)[:, None] & (k < points)

    at = ((row * groups + group) * all_points + first_point)[:, None] + k
    y, x, below, right = _point(coords, at, query[:, None], k, valid, height, width, side, LOCATIONS, AXES)
    here = grad + row[:, None] * all_channels + channel[None, :]
    grad_out = tl.load(here, (row < rows)[:, None] & in_group[None, :], 0.0).to(WORK)
    grad_weight = tl.zeros([BLOCK_R, BLOCK_K], WORK)
    grad_y = tl.zeros([BLOCK_R, BLOCK_K], WORK)
    grad_x = tl.zeros([BLOCK_R, BLOCK_K], WORK)
    for j in tl.static_range(2):
        for i in tl.static_range(2):
            inside, value = _corner(
                values, y + j, x + i, height, width, first_row[:, None], all_channels, channel, in_group, WORK
            )
            dot = tl.sum(grad_out[:, None, :] * value, 2)
            dot = tl.where(inside, dot, 0.0)  # else NaN where grad_out is NaN
            share_y = below if j else 1 - below
            share_x = right if i else 1 - right
            grad_weight += share_y * share_x * dot
            grad_y += share_x * (dot if j else -dot)
            grad_x += share_y * (dot if i else -dot)
    tl.store(grad_weights + at, grad_weight, valid)

    counts = x > -2
    weight = tl.where(counts, tl.load(weights + at, valid, 0.0).to(WORK), 0.0)
    if LOCATIONS:
        tl.store(grad_coords + 2 * at, weight * grad_x * width, valid)
        tl.store(grad_coords + 2 * at + 1, weight * grad_y * height, valid)
    elif AXES == 2:
        tl.store(grad_coords + 2 * at, weight * grad_y, valid)
        tl.store(grad_coords + 2 * at + 1, weight * grad_x, valid)
    else:
        tl.store(grad_coords + at, weight * grad_x, valid)
    cell = tl.where(counts, (y + 1) * (width + 1) + x + 1, (height + 1) * (width + 1))
    tl.store(cells + (((image * groups + group) * queries + query) * points)[:, None] + k, cell, valid)


@triton.jit(do_not_specialize=_INTEGERS)
def map_gradients_kernel(
    grad,
    coords,
    weights,
    order,  # (batch, groups, queries * points): the points, query * points + k, sorted by cell
    starts,  # (batch, groups, cells + 1): where in that order a cell begins
    grad_values,
    rows,  # batch * height * width
    queries,
    pixels,
    groups,
    channels,
    points,
    all_points,
    first_pixel,
    first_point,
    height,
    width,
    side,
    LOCATIONS: tl.constexpr,
    AXES: tl.constexpr,
    WORK: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Compute the gradient of one map: a program for BLOCK_R pixels and BLOCK_C channels of a group."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    valid = row < rows
    image = row // (height * width)
    pixel = (row % (height * width)).to(tl.int32)
    blocks = tl.cdiv(channels, BLOCK_C)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * BLOCK_C + tl.arange(0, BLOCK_C)
    in_group = channel < channels
    channel += group * channels
    all_channels = groups * channels
    image_group = image * groups + group

    total = tl.zeros([BLOCK_R, BLOCK_C], WORK)
    for j in tl.static_range(2):
        for i in tl.static_range(2):
            # The points whose lower corner is j rows above and i columns left of this pixel.
            cell = (pixel // width + 1 - j) * (width + 1) + pixel % width + 1 - i
            of_cell = starts + image_group * ((height + 1) * (width + 1) + 1) + cell
            start = tl.load(of_cell, valid, 0)
            count = tl.load(of_cell + 1, valid, 0) - start
            entries = order + image_group * queries * points + start
            longest = tl.max(count)
            first = 0
            while first < longest:
                number = first + tl.arange(0, BLOCK_E)[None, :]
                listed = number < count[:, None]
                entry = tl.load(entries[:, None] + number, listed, 0).to(tl.int32)
                query = entry // points
                k = entry % points
                query_row = image[:, None] * queries + query
                at = (query_row * groups + group) * all_points + first_point + k
                _, _, below, right = _point(coords, at, query, k, listed, height, width, side, LOCATIONS, AXES)
                weight = tl.load(weights + at, listed, 0.0).to(WORK)
                share = (below if j else 1 - below) * (right if i else 1 - right) * weight
                here = grad + (query_row * all_channels)[:, :, None] + channel[None, None, :]
                grad_out = tl.load(here, listed[:, :, None] & in_group[None, None, :], 0.0).to(WORK)
                total += tl.sum(share[:, :, None] * grad_out, 1)
                first += BLOCK_E
    here = grad_values + (image * pixels + first_pixel + pixel)[:, None] * all_channels + channel[None, :]
    tl.store(here, total, valid[:, None] & in_group[None, :])


# --- The calls --------------------------------------------------------------------------------------------------------


class _Sampling(NamedTuple):
    """What is sampled where; groups are the heads of attention."""

    batch: int
    queries: int
    groups: int
    channels: int  # of a group
    points: int  # of a query in each level
    sizes: list[tuple[int, int]]  # of the levels
    axes: int = 2
    locations: bool = False  # points are given as locations, not as offsets

    @classmethod
    def around_anchors(cls, x: Tensor, weight: Tensor, size: Sequence[int]) -> "_Sampling":
        batch, length, groups, points = weight.shape
        sizes = [(size[0], size[1])] if len(size) == 2 else [(1, size[0])]
        return cls(batch, length, groups, x.shape[2] // groups, points, sizes, axes=len(size))

    @classmethod
    def at_locations(cls, value: Tensor, weights: Tensor, flat_sizes: Sequence[int]) -> "_Sampling":
        batch, queries, heads, _, points = weights.shape
        sizes = list(zip(flat_sizes[::2], flat_sizes[1::2], strict=True))
        return cls(batch, queries, heads, value.shape[3], points, sizes, locations=True)

    def level_arguments(self) -> Iterator[tuple[tuple[int, int], tuple[int, ...]]]:
        """Yield each level's size, and the integers that the kernels take for it, but for `rows`."""
        pixels = sum(map(prod, self.sizes))
        side = round(self.points ** (1 / self.axes))
        first_pixel = 0
        for level, (height, width) in enumerate(self.sizes):
            yield (
                (height, width),
                (
                    *(self.queries, pixels, self.groups, self.channels),
                    *(self.points, self.points * len(self.sizes), first_pixel, level * self.points),
                    *(height, width, side),
                ),
            )
            first_pixel += height * width


def _blocks(middle: int, channels: int) -> dict[str, int]:
    """Return how many rows and channels a program takes beside `middle` points, and its warps: 8 numbers a thread."""
    block_c = triton.next_power_of_2(channels)
    rows = max(1, min(64, 2048 // (middle * block_c)))
    return {"BLOCK_R": rows, "BLOCK_C": block_c, "num_warps": max(1, min(16, rows * middle * block_c // 256))}


def _constants(values: Tensor, sampling: _Sampling) -> dict[str, Any]:
    work = tl.float64 if values.dtype == torch.float64 else tl.float32
    return {"LOCATIONS": sampling.locations, "AXES": sampling.axes, "WORK": work}


def _sample(values: Tensor, coords: Tensor, weights: Tensor, sampling: _Sampling, dtype: torch.dtype) -> Tensor:
    values, coords, weights = values.contiguous(), coords.contiguous(), weights.contiguous()
    shape = (sampling.batch, sampling.queries, sampling.groups * sampling.channels)
    several = len(sampling.sizes) > 1  # whose sum is not rounded in between
    out = values.new_empty(shape, dtype=torch.promote_types(dtype, torch.float32) if several else dtype)
    if out.numel() == 0:
        return out.to(dtype)
    block_k = triton.next_power_of_2(max(1, sampling.points))
    blocks = _blocks(block_k, min(64, sampling.channels))
    rows = sampling.batch * sampling.queries
    grid = (
        triton.cdiv(rows, blocks["BLOCK_R"]),
        sampling.groups * triton.cdiv(sampling.channels, blocks["BLOCK_C"]),
    )
    for level, (_, integers) in enumerate(sampling.level_arguments()):
        sample_kernel[grid](
            *(values, coords, weights, out, rows, *integers),
            ADD=level > 0,
            BLOCK_K=block_k,
            **_constants(values, sampling),
            **blocks,
        )
    return out.to(dtype)


def _sample_backward(
    grad: Tensor, values: Tensor, coords: Tensor, weights: Tensor, sampling: _Sampling
) -> tuple[Tensor, Tensor, Tensor]:
    grad, values, coords, weights = (t.contiguous() for t in (grad, values, coords, weights))
    grads = grad_values, grad_coords, grad_weights = (
        torch.zeros_like(values),
        torch.zeros_like(coords),
        torch.zeros_like(weights),
    )
    if grad.numel() == 0 or weights.numel() == 0:
        return grads
    batch, queries, groups, channels, points = sampling[:5]
    block_k = triton.next_power_of_2(points)
    of_points, of_maps = _blocks(block_k, channels), _blocks(BLOCK_E, min(64, channels))
    constants = _constants(values, sampling)
    for (height, width), integers in sampling.level_arguments():
        cells = torch.empty(batch * groups, queries * points, dtype=torch.int32, device=grad.device)
        rows = batch * queries
        point_gradients_kernel[(triton.cdiv(rows, of_points["BLOCK_R"]), groups)](
            *(grad, values, coords, weights, grad_coords, grad_weights, cells, rows, *integers),
            BLOCK_K=block_k,
            **constants,
            **of_points,
        )
        cells, order = cells.sort(stable=True)
        each_cell = torch.arange((height + 1) * (width + 1) + 1, dtype=torch.int32, device=grad.device)
        starts = torch.searchsorted(cells, each_cell.expand(batch * groups, -1).contiguous(), out_int32=True)
        rows = batch * height * width
        grid = (triton.cdiv(rows, of_maps["BLOCK_R"]), groups * triton.cdiv(channels, of_maps["BLOCK_C"]))
        map_gradients_kernel[grid](
            *(grad, coords, weights, order, starts, grad_values, rows, *integers),
            BLOCK_E=BLOCK_E,
            **constants,
            **of_maps,
        )
    return grads


def deform_sample(x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Gather u in the given dtype; shapes as in `dfmamba.ops.dssm`."""
    return _sample(x, offset, weight, _Sampling.around_anchors(x, weight, size), dtype)


def deform_sample_backward(
    grad_u: Tensor, x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, offset and weight, each in the dtype of its argument."""
    return _sample_backward(grad_u, x, offset, weight, _Sampling.around_anchors(x, weight, size))


def attention(value: Tensor, locations: Tensor, weights: Tensor, flat_sizes: Sequence[int]) -> Tensor:
    """Read the levels at the locations; shapes as in `dfmamba.ops.attention`, sizes as in `csrc/README.md`."""
    return _sample(value, locations, weights, _Sampling.at_locations(value, weights, flat_sizes), value.dtype)


def attention_backward(
    grad: Tensor, value: Tensor, locations: Tensor, weights: Tensor, flat_sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights, each in the dtype of its argument."""
    return _sample_backward(grad, value, locations, weights, _Sampling.at_locations(value, weights, flat_sizes))
