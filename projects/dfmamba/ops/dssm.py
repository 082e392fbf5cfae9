"""The public operators: arguments checked, backend chosen.

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
"""

from collections.abc import Sequence

from torch import Tensor

from . import reference
from .checks import check_sample, check_scan

_NOT_BUILT = "this version of dfmamba has no native kernels; the reference runs on every device"
_BACKENDS: dict[str, str | None] = {
    "reference": None,
    "cpu": _NOT_BUILT,
    "cuda": _NOT_BUILT,
    "mamba_ssm": "this version of dfmamba does not call mamba_ssm",
}


def available_backends() -> dict[str, str | None]:
    """Return every backend's name with None where it can be used, else with the reason why not."""
    return dict(_BACKENDS)


def _check_backend(backend: str | None) -> None:
    """Raise ValueError unless the backend can be used; None stands for the best one available."""
    if backend is None:
        return
    if backend not in _BACKENDS:
        raise ValueError(f"backend: expected None or one of {', '.join(_BACKENDS)}, got {backend!r}")
    reason = _BACKENDS[backend]
    if reason is not None:
        raise ValueError(f"backend: {backend!r} is not available: {reason}")


def deform_sample(
    x: Tensor, offset: Tensor, weight: Tensor, *, size: Sequence[int], backend: str | None = None
) -> Tensor:
    """Gather u_t = sum_k weight_(t,k) x(p_t + a_k + offset_(t,k)), bilinear, 0 outside the map.

    Args:
        x: (batch, L, channels).
        offset: (batch, L, groups, K, 2) as (dy, dx) in pixels. NaN and infinite offsets contribute nothing.
        weight: (batch, L, groups, K).
        size: (H, W) with H*W = L, or (L,).
        backend: None for the best available, or a name from `available_backends`.

    Returns:
        u with the shape and dtype of x.

    Raises:
        ValueError: A shape, K, the size, a device, a dtype or the backend does not fit; the message names it.
    """
    check_sample(x, offset, weight, size)
    _check_backend(backend)
    return reference.deform_sample(x, offset, weight, size)


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
        backend: None for the best available, or a name from `available_backends`.

    Returns:
        y with the shape and dtype of u; the state is float32, or float64 where u is.

    Raises:
        ValueError: A shape, a device, a dtype or the backend does not fit; the message names it.
    """
    check_scan(u, delta, A, B, C, D, delta_bias)
    _check_backend(backend)
    return reference.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


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
        backend: None for the best available, or a name from `available_backends`.

    Returns:
        y with the shape and dtype of x.

    Raises:
        ValueError: A shape, K, the size, a device, a dtype or the backend does not fit; the message names it.
    """
    check_sample(x, offset, weight, size)
    check_scan(x, delta, A, B, C, D, delta_bias, input_name="x")
    _check_backend(backend)
    return reference.dssm(
        x, offset, weight, delta, A, B, C, D, delta_bias, size=size, delta_softplus=delta_softplus
    )
