"""The dtypes in which the operators take their arguments."""

from typing import Any

import torch
from torch import Tensor


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the autocast dtype where autocast is on; the first one decides, float64 is left alone."""
    device = tensors[0].device.type
    if (
        device not in ("cpu", "cuda", "xpu")
        or not torch.is_autocast_enabled(device)
        or tensors[0].dtype == torch.float64
    ):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor.to(dtype) for tensor in tensors)


def exact(x: Tensor, *tensors: Tensor | None) -> tuple[Any, ...]:
    """Return the tensors in the dtype that is computed in, float64 if x is float64, else float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return tuple(tensor if tensor is None or tensor.dtype == dtype else tensor.to(dtype) for tensor in tensors)


def either(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the dtype of x where they have it, else in the dtype that is computed in."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return tuple(tensor if tensor.dtype == x.dtype else tensor.to(dtype) for tensor in tensors)
