"""The public operator of multi-scale deformable attention: arguments checked, dtypes settled, backend chosen.

Dtypes: whatever `value` is, the work is done in float32 (float64 if it is float64) and the result has its dtype. Under
autocast `value` becomes the autocast dtype; weights and locations stay what they are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import native, reference
from .backends import choose
from .checks import check_attention
from .dtypes import autocast, either, exact


def multi_scale_deformable_attention(
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    *,
    sizes: Sequence[tuple[int, int]],
    backend: str | None = None,
) -> Tensor:
    """Read each level bilinearly at the given points and sum the readings with weights.

    A level spans [0, 1] in both directions, so that pixel (row i, column j) has its center at ((j + 0.5) / width,
    (i + 0.5) / height). Outside the level there are zeros. Points that are NaN, infinite, or so far off the level that
    they touch no pixel contribute nothing, whatever their weight, and get no gradient.

    Source: Zhu et al., Deformable DETR (ICLR 2021), Eq. 3, without its projections.

    Args:
        value: (batch, S, heads, channels), the levels one after the other, each row by row; S = sum of height * width.
        locations: (batch, queries, heads, levels, points, 2) as (x, y).
        weights: (batch, queries, heads, levels, points).
        sizes: (height, width) of each level.
        backend: 'cpu' for the native kernels, 'triton' or 'reference'; None for that of `use_backend`, else the best
            available. There is no kernel in CUDA: with 'cuda' or 'mamba_ssm' it runs on the reference, too.

    Returns:
        (batch, queries, heads * channels), in the dtype of `value`.

    Raises:
        ValueError: A shape, a size, a device, a dtype or the backend does not fit; the message names it.
        NotImplementedError: Forward-mode derivatives are asked for, which no backend has.
    """
    check_attention(value, locations, weights, sizes)
    if native.has_tangents(value, locations, weights):
        raise NotImplementedError("dfmamba: deformable attention has no forward-mode derivatives (jvp, jacfwd, ...)")
    (value,) = autocast(value)
    backend = choose(backend, value)
    if backend not in ("cpu", "triton") or torch.jit.is_tracing():  # whose sizes are tensors
        return reference.multi_scale_deformable_attention(value, locations, weights, sizes)
    flat_sizes = [extent for size in sizes for extent in size]
    operator = native.operators(backend).deformable_attention
    return operator(value, *exact(value, locations), *either(value, weights), flat_sizes)
