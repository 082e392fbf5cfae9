"""What the operators cost in multiply-adds; torch's `FlopCounterMode`, which would count them as 0, is told so."""

from collections.abc import Sequence
from math import prod
from typing import Any

Shape = Sequence[int]  # (batch, L, channels) and so on, as in dssm.py


def scan_multiply_adds(u: Shape, A: Shape) -> int:
    """Return those of the selective scan.

    For each token, channel and state 4: d*A, decay*h, + (d*u)*B and C*h; for each token and channel 2: d*u and D*x.
    """
    batch, length, channels = u
    return batch * length * channels * (4 * A[1] + 2)


def sample_multiply_adds(x: Shape, weight: Shape) -> int:
    """Return those of the sampling: 4 corners for each token, channel and anchor."""
    batch, length, channels = x
    return batch * length * channels * 4 * weight[3]


def attention_multiply_adds(value: Shape, weights: Shape) -> int:
    """Return those of deformable attention: 4 corners for each channel of each point."""
    return prod(weights) * 4 * value[3]


def dssm_multiply_adds(x: Shape, weight: Shape, A: Shape) -> int:
    """Return those of the sampling and of the scan."""
    return sample_multiply_adds(x, weight) + scan_multiply_adds(x, A)


# torch counts 2 floating-point operations for a multiply-add. In a backward pass each of the two factors of a product
# has its gradient; the scan's computes the states once more before.


def _sample_flop(x: Shape, offset: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return 2 * sample_multiply_adds(x, weight)


def _sample_backward_flop(grad_u: Shape, x: Shape, offset: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return 4 * sample_multiply_adds(x, weight)


def _scan_flop(u: Shape, delta: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return 2 * scan_multiply_adds(u, A)


def _scan_backward_flop(grad_y: Shape, u: Shape, delta: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return 6 * scan_multiply_adds(u, A)


def _dssm_flop(x: Shape, offset: Shape, weight: Shape, delta: Shape, A: Shape, *_: Any, **__: Any) -> int:
    return 2 * dssm_multiply_adds(x, weight, A)


def _dssm_backward_flop(
    grad_y: Shape, x: Shape, offset: Shape, weight: Shape, delta: Shape, A: Shape, *_: Any, **__: Any
) -> int:
    return 6 * dssm_multiply_adds(x, weight, A)  # the sampling, too, runs once more before


def _attention_flop(value: Shape, locations: Shape, weights: Shape, *_: Any, **__: Any) -> int:
    return 2 * attention_multiply_adds(value, weights)


def _attention_backward_flop(
    grad_output: Shape, value: Shape, locations: Shape, weights: Shape, *_: Any, **__: Any
) -> int:
    return 4 * attention_multiply_adds(value, weights)


FLOP_FORMULAS: dict[str, Any] = {
    "sample": _sample_flop,
    "sample_backward": _sample_backward_flop,
    "scan": _scan_flop,
    "scan_backward": _scan_backward_flop,
    "dssm": _dssm_flop,
    "dssm_backward": _dssm_backward_flop,
    "deformable_attention": _attention_flop,
    "deformable_attention_backward": _attention_backward_flop,
}
