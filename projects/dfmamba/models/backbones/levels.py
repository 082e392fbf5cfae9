"""Which of a backbone's levels are returned."""

from collections.abc import Sequence


def resolve_indices(out_indices: Sequence[int] | None, strides: Sequence[int]) -> tuple[int, ...]:
    """Return the indices of the levels that are returned, in order.

    Args:
        out_indices: Levels from 0, negative ones from the end; None for the last level of each of the strides 8 and
            up, or the last of all.
        strides: Stride of every level against the image.

    Raises:
        ValueError: It is no sequence of integers, an index is out of range, or they do not rise.
    """
    if out_indices is None:
        last_of_stride = {stride: number for number, stride in enumerate(strides)}
        out_indices = [number for stride, number in last_of_stride.items() if stride >= 8] or [len(strides) - 1]
    if not isinstance(out_indices, Sequence) or not all(isinstance(index, int) for index in out_indices):
        raise ValueError(f"out_indices: expected a sequence of stages, such as (1, 2, 3) or (3,), got {out_indices!r}")
    for index in out_indices:
        if not -len(strides) <= index < len(strides):
            raise ValueError(f"out_indices: expected stages from 0 to {len(strides) - 1}, got {index}")
    indices = tuple(index % len(strides) for index in out_indices)
    if not indices or list(indices) != sorted(set(indices)):
        raise ValueError(f"out_indices: expected different stages in rising order, got {tuple(out_indices)}")
    return indices


def check_frozen(frozen_stages: int, num_stages: int) -> int:
    """Return the number of frozen stages if it is in range, else raise ValueError."""
    if not -1 <= frozen_stages <= num_stages:
        raise ValueError(f"frozen_stages: expected -1 (none) to {num_stages}, got {frozen_stages}")
    return frozen_stages
