"""The scan of the mamba_ssm package, where it is installed: a cross-check, and a fast scan without our own binary.

Its kernel takes channels-first tensors of one dtype, and its D multiplies the scan's input; ours multiplies x, so D is
left out there and the skip is added here. All of it is done in float32: with half-precision tensors its kernel would
round what goes in and out of the scan, y before the skip is added and the gradient of u.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

MAX_STATES = 256  # of its kernel


@cache
def _import_scan() -> Callable[..., Tensor] | str:
    """Return mamba_ssm's scan, or the reason why it cannot be had."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except Exception as error:  # without its CUDA extension the package fails in many ways
        return f"mamba_ssm cannot be imported ({type(error).__name__}: {error})"
    return selective_scan_fn


def reason() -> str | None:
    """Return why this backend cannot be used, or None."""
    if not torch.cuda.is_available():
        return "mamba_ssm needs a CUDA device"
    found = _import_scan()
    return found if isinstance(found, str) else None


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    x: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Run the scan as `dfmamba.ops.selective_scan` defines it, D multiplying x, or u where x is None; in float32."""
    scan = _import_scan()
    assert callable(scan)  # the caller has asked for the reason
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("dfmamba: backend='mamba_ssm' cannot be transformed by torch.func; backend='reference' can")
    # (batch, L, channels) -> (batch, channels, L)
    u_first, delta_first, B_first, C_first = (t.float().transpose(1, 2).contiguous() for t in (u, delta, B, C))
    y = scan(u_first, delta_first, A, B_first, C_first, None, None, delta_bias, delta_softplus).transpose(1, 2)
    if D is not None:
        y = y + D * (u if x is None else x).float()
    return y.to(u.dtype)
