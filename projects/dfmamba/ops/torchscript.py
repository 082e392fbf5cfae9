"""The native operators for TorchScript: called by scripted models, and by `dfmamba.ops` while a model is traced.

Types and shapes are checked by the kernels. In scripts, dtypes are settled as in `dfmamba.ops.dssm`, without autocast's
part.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


def _work_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _exact(x: Tensor, tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to(_work_dtype(x))


def _either(x: Tensor, tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == x.dtype else tensor.to(_work_dtype(x))


def check_backend(backend: str | None) -> None:
    """Raise ValueError for a backend that is not ours to call from TorchScript."""
    if backend is not None and backend not in ["cpu", "cuda"]:
        raise ValueError(
            "backend: a scripted model runs the native operators; expected None, 'cpu' or 'cuda', got " + backend
        )


def deform_sample(x: Tensor, offset: Tensor, weight: Tensor, size: list[int]) -> Tensor:
    """Gather the scan input, (batch, L, channels)."""
    return torch.ops.dfmamba.sample(x, offset.to(_work_dtype(x)), _either(x, weight), size)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Run the selective scan, (batch, L, channels)."""
    return torch.ops.dfmamba.scan(
        u,
        _either(u, delta),
        A.to(_work_dtype(u)),
        _either(u, B),
        _either(u, C),
        _exact(u, D),
        _exact(u, delta_bias),
        None,
        delta_softplus,
    )


def dssm(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: list[int],
    delta_softplus: bool,
) -> Tensor:
    """Run the deformable state-space model, (batch, L, channels)."""
    return torch.ops.dfmamba.dssm(
        x,
        offset.to(_work_dtype(x)),
        _either(x, weight),
        _either(x, delta),
        A.to(_work_dtype(x)),
        _either(x, B),
        _either(x, C),
        _exact(x, D),
        _exact(x, delta_bias),
        size,
        delta_softplus,
    )


@torch.jit.script_if_tracing
def sample_of_size(x: Tensor, offset: Tensor, weight: Tensor, size: list[Tensor]) -> Tensor:
    """Call the native `sample` with a size that is given as tensors."""
    return torch.ops.dfmamba.sample(x, offset, weight, [int(extent) for extent in size])


@torch.jit.script_if_tracing
def dssm_of_size(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: list[Tensor],
    delta_softplus: bool,
) -> Tensor:
    """Call the native `dssm` with a size that is given as tensors."""
    return torch.ops.dfmamba.dssm(
        x, offset, weight, delta, A, B, C, D, delta_bias, [int(extent) for extent in size], delta_softplus
    )


# What `dfmamba.ops` calls while `torch.jit.trace` records. The tracer knows no integers that change: sizes are tensors.


def _sample(*arguments: Any) -> Tensor:
    *tensors, size = arguments
    return sample_of_size(*tensors, _as_tensors(size))


def _scan(*arguments: Any) -> Tensor:
    return torch.ops.dfmamba.scan(*arguments)


def _dssm(*arguments: Any) -> Tensor:
    *tensors, size, delta_softplus = arguments
    return dssm_of_size(*tensors, _as_tensors(size), delta_softplus)


while_tracing = SimpleNamespace(sample=_sample, scan=_scan, dssm=_dssm)


def _as_tensors(size: Sequence[Any]) -> list[Tensor]:
    """Return a size as the tracer has it, or in the same form."""
    return [extent if isinstance(extent, Tensor) else torch.tensor(extent) for extent in size]
