"""The operators as models call them: in eager mode, and in what torch makes of a model (TorchScript, fx).

To fx they are single steps. TorchScript compiles neither their checks nor their keyword arguments: a scripted model
calls the native operators.
"""

import torch
import torch.fx
from torch import Tensor

from ...ops import deform_sample, dssm, selective_scan, torchscript

# What fx changes are the names in this module: callers must say `operators.run_dssm`, and not import the function.
torch.fx.wrap("run_deform_sample")
torch.fx.wrap("run_dssm")
torch.fx.wrap("run_selective_scan")


def run_deform_sample(
    x: Tensor, offset: Tensor, weight: Tensor, size: tuple[int, int], backend: str | None = None
) -> Tensor:
    """Return `dfmamba.ops.deform_sample`, see there."""
    if torch.jit.is_scripting():
        torchscript.check_backend(backend)
        return torchscript.deform_sample(x, offset, weight, [size[0], size[1]])
    else:
        return deform_sample(x, offset, weight, size=size, backend=backend)


def run_selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    backend: str | None = None,
) -> Tensor:
    """Return `dfmamba.ops.selective_scan`, see there."""
    if torch.jit.is_scripting():
        torchscript.check_backend(backend)
        return torchscript.selective_scan(u, delta, A, B, C, D, delta_bias, True)
    else:
        return selective_scan(u, delta, A, B, C, D, delta_bias, backend=backend)


def run_dssm(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: tuple[int, int],
    backend: str | None = None,
) -> Tensor:
    """Return `dfmamba.ops.dssm`, see there."""
    if torch.jit.is_scripting():
        torchscript.check_backend(backend)
        return torchscript.dssm(x, offset, weight, delta, A, B, C, D, delta_bias, [size[0], size[1]], True)
    else:
        return dssm(x, offset, weight, delta, A, B, C, D, delta_bias, size=size, backend=backend)
