"""The public operators: arguments checked, dtypes settled, backend chosen.

Letters are those of the paper (arXiv 2512.02727, Eq. 3); shapes, with L = H*W tokens row by row:

    x, delta   (batch, L, channels)        feature map, step size before bias and softplus
    offset     (batch, L, groups, K, 2)    o, (dy, dx) in pixels, added to the anchors;
                                           group g owns the g-th contiguous block of channels
    weight     (batch, L, groups, K)       b, the share of each sampled point
    A          (channels, N)               decay, negative
    B, C       (batch, L, N)               input and output projections of the state
    D          (channels,)                 skip
    delta_bias (channels,)

K = 1, 9, 25 are the anchors row by row: k = (dy + 1) * 3 + (dx + 1) for K = 9. With `size=(L,)` the map has one axis
(Eq. 2): the last axis of `offset` is 1 and K = 1, 3, 5. `size` may hold any positive integers with product L.

Dtypes: whatever x is, the work is done in float32 (float64 if x is float64) and the result has the dtype of x. Under
autocast x, weight, delta, B and C become the autocast dtype; coordinates, A, D and delta_bias stay float32.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import mamba_ssm_backend, native, reference
from .backends import best, choose
from .checks import check_sample, check_scan
from .dtypes import autocast, either, exact


def _num_states(A: Tensor) -> int:
    """Return N; while `torch.jit.trace` records, where shapes are tensors, 1: the kernels refuse an N above theirs."""
    return 1 if torch.jit.is_tracing() else A.shape[1]


def _sample(backend: str, x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
    """Return u; all arguments have been looked at."""
    if backend == "mamba_ssm":  # has no sampling of its own
        backend = best(x)
    if backend == "reference":
        return reference.deform_sample(x, offset, weight, size)
    return native.operators(backend).sample(x, *exact(x, offset), *either(x, weight), size)


def deform_sample(
    x: Tensor, offset: Tensor, weight: Tensor, *, size: Sequence[int], backend: str | None = None
) -> Tensor:
    """Gather u_t = sum_k weight_(t,k) x(p_t + a_k + offset_(t,k)), bilinear, 0 outside the map.

    Args:
        x: (batch, L, channels).
        offset: (batch, L, groups, K, 2) as (dy, dx) in pixels. NaN and infinite offsets contribute nothing.
        weight: (batch, L, groups, K).
        size: (H, W) with H*W = L, or (L,).
        backend: A name from `available_backends`; None for that of `use_backend`, else the best available.

    Returns:
        u with the shape and dtype of x.

    Raises:
        ValueError: A shape, K, the size, a device, a dtype or the backend does not fit; the message names it.
    """
    check_sample(x, offset, weight, size)
    x, weight = autocast(x, weight)
    forward_mode = native.has_tangents(x, offset, weight)
    return _sample(choose(backend, x, forward_mode=forward_mode), x, offset, weight, size)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    delta_softplus: bool = True,
    backend: str | None = None,
) -> Tensor:
    """Run the selective scan h_t = exp(d_t A) h_(t-1) + d_t B_t u_t, y_t = C_t . h_t + D u_t.

    Args:
        u: (batch, L, channels).
        delta: (batch, L, channels); d = softplus(delta + delta_bias).
        A: (channels, N).
        B: (batch, L, N).
        C: (batch, L, N).
        D: (channels,) or None. Here it multiplies u; in `dssm` it multiplies x.
        delta_bias: (channels,) or None.
        delta_softplus: Without it d = delta + delta_bias.
        backend: A name from `available_backends`; None for that of `use_backend`, else the best available.

    Returns:
        y with the shape and dtype of u; the state is float32, or float64 where u is.

    Raises:
        ValueError: A shape, a device, a dtype or the backend does not fit; the message names it.
    """
    check_scan(u, delta, A, B, C, D, delta_bias)
    u, delta, B, C = autocast(u, delta, B, C)
    forward_mode = native.has_tangents(u, delta, A, B, C, D, delta_bias)
    backend = choose(backend, u, _num_states(A), forward_mode)
    if backend == "reference":
        return reference.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    A, D, delta_bias = exact(u, A, D, delta_bias)
    delta, B, C = either(u, delta, B, C)
    scan = mamba_ssm_backend.selective_scan if backend == "mamba_ssm" else native.operators(backend).scan
    return scan(u, delta, A, B, C, D, delta_bias, None, delta_softplus)


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
    backend: str | None = None,
) -> Tensor:
    """Deformable state-space model: `selective_scan` of the deformably sampled x, plus D x.

    Args:
        x: (batch, L, channels).
        offset: (batch, L, groups, K, 2) as (dy, dx) in pixels.
        weight: (batch, L, groups, K).
        delta: (batch, L, channels).
        A: (channels, N).
        B: (batch, L, N).
        C: (batch, L, N).
        D: (channels,) or None; it multiplies the undeformed x.
        delta_bias: (channels,) or None.
        size: (H, W) with H*W = L, or (L,) for the one-dimensional form.
        delta_softplus: Without it d = delta + delta_bias.
        backend: A name from `available_backends`; None for that of `use_backend`, else the best available.

    Returns:
        y with the shape and dtype of x.

    Raises:
        ValueError: A shape, K, the size, a device, a dtype or the backend does not fit; the message names it.
    """
    check_sample(x, offset, weight, size)
    check_scan(x, delta, A, B, C, D, delta_bias, input_name="x")
    x, weight, delta, B, C = autocast(x, weight, delta, B, C)
    forward_mode = native.has_tangents(x, offset, weight, delta, A, B, C, D, delta_bias)
    backend = choose(backend, x, _num_states(A), forward_mode)
    if backend == "reference":
        return reference.dssm(
            x, offset, weight, delta, A, B, C, D, delta_bias, size=size, delta_softplus=delta_softplus
        )
    offset, A, D, delta_bias = exact(x, offset, A, D, delta_bias)
    weight, delta, B, C = either(x, weight, delta, B, C)
    if backend == "mamba_ssm":
        u = _sample(backend, x.float(), offset, weight, size)  # in float32: u is not rounded
        y = mamba_ssm_backend.selective_scan(u, delta, A, B, C, D, delta_bias, x, delta_softplus)
        return y.to(x.dtype)
    return native.operators(backend).dssm(x, offset, weight, delta, A, B, C, D, delta_bias, size, delta_softplus)
