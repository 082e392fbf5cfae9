"""The scan of the mamba_ssm package, where it is installed: a cross-check, and a fast scan without our own binary.

Its kernel takes channels-first tensors of one dtype, and its D multiplies the scan's input; ours multiplies x, so D is
left out there and the skip is added here.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


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
    """Run the scan as `dfmamba.ops.selective_scan` defines it, D multiplying x, or u where x is None."""
    scan = _import_scan()
    assert callable(scan)  # the caller has asked for the reason
    # (batch, L, channels) -> (batch, channels, L)
    u_first, delta_first, B_first, C_first = (t.to(u.dtype).transpose(1, 2).contiguous() for t in (u, delta, B, C))
    bias = None if delta_bias is None else delta_bias.float()
    y = scan(u_first, delta_first, A.float(), B_first, C_first, None, None, bias, delta_softplus).transpose(1, 2)
    if D is not None:
        y = y + D.to(u.dtype) * (u if x is None else x)
    return y
