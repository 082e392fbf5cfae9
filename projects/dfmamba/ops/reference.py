"""The operators in readable PyTorch: the definition that every other implementation is held against.

DSSM:

    h_t = exp(d_t A) h_(t-1) + d_t B_t u_t           u_t = sum_k b_(t,k) x(p_t + a_k + o_(t,k))
    y_t = C_t . h_t + D x_t                          d_t = softplus(delta_t + delta_bias)

Source: DF-Mamba (arXiv 2512.02727), Eq. 2 (one axis) and Eq. 3 (two), with Mamba's discretisation: A enters through the
exponential, B through the plain product d_t B_t. Two things differ from a Mamba scan: its input u is gathered at points
that are learned, and D multiplies x, not u.

Multi-scale deformable attention: Zhu et al., Deformable DETR (ICLR 2021), Eq. 3.

Arguments are not checked here; `dfmamba.ops.dssm` and `dfmamba.ops.attention` do that.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F


def anchor_grid(num_anchors: int, num_axes: int) -> list[tuple[int, ...]]:
    """Return the fixed anchors a_k around a position, row by row: K = 9 on two axes is (-1, -1), (-1, 0) ... (1, 1)."""
    radius = (round(num_anchors ** (1 / num_axes)) - 1) // 2
    return list(product(range(-radius, radius + 1), repeat=num_axes))


def sampling_points(offset: Tensor, size: Sequence[int]) -> Tensor:
    """Return the points p_t + a_k + o_(t,k) in pixels, (batch, L, groups, K, axes), ordered as the axes of `size`."""
    num_anchors, num_axes = offset.shape[-2:]
    axes = [torch.arange(extent, device=offset.device) for extent in size]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, 1, 1, num_axes)
    anchors = torch.tensor(anchor_grid(int(num_anchors), int(num_axes)), device=offset.device)
    return positions + anchors + offset


def deform_sample(x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
    """Gather the scan input u_t = sum_k b_(t,k) x(p_t + a_k + o_(t,k)) with (bi)linear interpolation.

    Outside the map x is 0, whatever the weight: corners off the map are left out, NaN and infinite weights with them.
    The lower corner is floor(p), so at a lattice point the derivative is that from the right. All is in pixels:
    normalised coordinates would round some lattice points below themselves.

    Args:
        x: (batch, L, channels), L = the product of `size`, row by row.
        offset: (batch, L, groups, K, axes) in pixels; group g owns the g-th contiguous block of channels.
        weight: (batch, L, groups, K).
        size: (H, W), or (L,) for the one-dimensional form.

    Returns:
        u, like x.
    """
    work_dtype = torch.promote_types(x.dtype, torch.float32)
    batch, length, channels = x.shape
    groups, num_anchors = weight.shape[2:]
    # (batch, L, channels) -> (batch, groups, L, channels of a group)
    values = x.to(work_dtype).reshape(batch, length, groups, channels // groups).transpose(1, 2)
    values = F.pad(values, (0, 0, 0, 1))  # token number L: zeros, which is what lies outside the map
    weight = weight.to(work_dtype)

    points = sampling_points(offset.to(work_dtype), size)
    extent = torch.tensor(size, dtype=work_dtype, device=x.device)
    # Points that touch no pixel, NaN and infinity among them, move to -2: no corner counts, no gradient.
    points = torch.where(((points >= -1) & (points < extent)).all(-1, keepdim=True), points, -2.0)
    lower = points.floor()
    fraction = points - lower

    u = x.new_zeros((batch, groups, length, channels // groups), dtype=work_dtype)
    for corner in product((0, 1), repeat=len(size)):
        step = torch.tensor(corner, dtype=work_dtype, device=x.device)
        pixel = lower + step
        inside = ((pixel >= 0) & (pixel < extent)).all(-1)
        # Chosen before they are multiplied: 0 times NaN is NaN, in the backward pass too.
        share = torch.where(step == 1, fraction, 1 - fraction).prod(-1) * torch.where(inside, weight, 0)
        index = torch.where(inside, _flat_index(pixel, size), length)
        u = u + _gather(values, index, share, num_anchors)
    return u.transpose(1, 2).reshape(batch, length, channels).to(x.dtype)


def _flat_index(pixel: Tensor, size: Sequence[int]) -> Tensor:
    """Return the token at integer coordinates (..., axes), counted row by row."""
    index = pixel.new_zeros(pixel.shape[:-1], dtype=torch.long)
    for axis, extent in enumerate(size):
        index = index * extent + pixel[..., axis].long()
    return index


def _gather(values: Tensor, index: Tensor, share: Tensor, num_anchors: int) -> Tensor:
    """Sum the values (batch, groups, L + 1, c) at index (batch, L, groups, K), times their shares, over the anchors."""
    batch, groups, _, channels = values.shape
    length = index.shape[1]
    flat = index.transpose(1, 2).reshape(batch, groups, length * num_anchors, 1).expand(-1, -1, -1, channels)
    found = values.gather(2, flat).view(batch, groups, length, num_anchors, channels)
    return (found * share.transpose(1, 2).unsqueeze(-1)).sum(3)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = True,
) -> Tensor:
    """Run the recurrence h_t = exp(d_t A) h_(t-1) + d_t B_t u_t, y_t = C_t . h_t + D u_t from h = 0.

    Args:
        u: (batch, L, channels), the scan's input.
        delta: (batch, L, channels), the step size before bias and softplus.
        A: (channels, N), negative for a stable system.
        B: (batch, L, N).
        C: (batch, L, N).
        D: (channels,), the weight of the skip, or None.
        delta_bias: (channels,) or None.
        delta_softplus: Whether d = softplus(delta + bias) or just the sum.

    Returns:
        y, like u; computed in float32 where the inputs are half-precision numbers.
    """
    work_dtype = torch.promote_types(u.dtype, torch.float32)
    A, B, C, delta, inputs = (tensor.to(work_dtype) for tensor in (A, B, C, delta, u))
    d = delta if delta_bias is None else delta + delta_bias.to(work_dtype)
    d = F.softplus(d) if delta_softplus else d

    h = torch.zeros_like(A).expand(u.shape[0], -1, -1)  # (batch, channels, N)
    outputs = []
    for t in range(u.shape[1]):
        h = torch.exp(d[:, t, :, None] * A) * h + (d[:, t] * inputs[:, t])[..., None] * B[:, t, None]
        outputs.append((h * C[:, t, None]).sum(-1))
    y = torch.stack(outputs, 1) if outputs else torch.zeros_like(inputs)
    if D is not None:
        y = y + D.to(work_dtype) * inputs
    return y.to(u.dtype)


def dssm(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    size: Sequence[int],
    delta_softplus: bool = True,
) -> Tensor:
    """Scan the deformably sampled input and add the skip of the undeformed one; shapes as in the functions above."""
    work_dtype = torch.promote_types(x.dtype, torch.float32)
    x_work = x.to(work_dtype)
    u = deform_sample(x_work, offset, weight, size)
    y = selective_scan(u, delta, A, B, C, None, delta_bias, delta_softplus)
    if D is not None:
        y = y + D.to(work_dtype) * x_work
    return y.to(x.dtype)


def multi_scale_deformable_attention(
    value: Tensor, locations: Tensor, weights: Tensor, sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """Sum bilinear readings of all levels; shapes as in `dfmamba.ops.multi_scale_deformable_attention`.

    By torch's `grid_sample`, which is quick enough for devices without a kernel but has first derivatives only.
    """
    batch, _, heads, channels = value.shape
    queries, work_dtype = locations.shape[1], torch.promote_types(value.dtype, torch.float32)
    # (batch, S, heads, channels) -> (batch * heads, channels, S)
    maps = value.to(work_dtype).permute(0, 2, 3, 1).flatten(0, 1)
    locations = locations.to(work_dtype)
    extents = _extents(sizes, locations)
    pixels = locations * extents - 0.5
    # Chosen before grid_sample sees them: NaN and infinity make it return NaN.
    on_level = ((pixels >= -1) & (pixels < extents)).all(-1)
    grid = torch.where(on_level[..., None], 2 * locations - 1, -4.0)  # -1 to 1 over a level, -4 is far off
    shares = torch.where(on_level, weights.to(work_dtype), 0)
    # (batch, queries, heads, ...) -> (batch * heads, queries, ...)
    grid, shares = (tensor.transpose(1, 2).flatten(0, 1) for tensor in (grid, shares))

    total = maps.new_zeros(batch * heads, channels, queries)
    for level, level_map in enumerate(maps.split([height * width for height, width in sizes], -1)):
        level_map = level_map.unflatten(-1, sizes[level])
        sampled = F.grid_sample(level_map, grid[:, :, level], padding_mode="zeros", align_corners=False)
        total = total + (sampled * shares[:, None, :, level]).sum(-1)
    return total.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2).to(value.dtype)


def _extents(sizes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Return the levels' sizes (levels, 1, 2) as (width, height), filled in where `like` is: a GPU need not wait."""
    return torch.cat([like.new_full((1,), extent) for height, width in sizes for extent in (width, height)]).view(
        -1, 1, 2
    )
