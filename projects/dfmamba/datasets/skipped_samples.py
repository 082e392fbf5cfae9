"""Which samples were left out while loading, in memory that all processes of a data loader share."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from mmengine.logging import MMLogger
from numpy.typing import NDArray

from dfmamba.io.images import ImageError, ImageSizeError

IMAGE_MISSING = "image missing"
IMAGE_DAMAGED = ImageError.reason
IMAGE_SIZE = ImageSizeError.reason
PIPELINE = "nothing left by the pipeline"
REASONS = (IMAGE_MISSING, IMAGE_DAMAGED, IMAGE_SIZE, PIPELINE)


class SkippedSamples:
    """A mark for each row of a data set that was left out at least once, with the reason.

    The marks are one byte a row in shared memory: a data loader's workers, forked or spawned, set them, the main
    process reads them, and they outlive the workers. Copies of the data set for other processes (a loader's pickles)
    share them; other pickles and deep copies have marks of their own from then on. As rows are marked, not counted, it
    does not matter how often a sample is met, by how many epochs, workers or draws of another sample.

    Args:
        num_rows: Number of rows.

    Attributes:
        marks: (num_rows,) uint8, 0 or the position of the reason in `REASONS` plus 1.
    """

    def __init__(self, num_rows: int) -> None:
        self.marks = _share(torch.zeros(num_rows, dtype=torch.uint8))

    def __setstate__(self, state: dict[str, torch.Tensor]) -> None:
        self.marks = _share(state["marks"])

    def add(self, row: int, reason: str) -> int:
        """Mark a row; return how many rows are marked now, or 0 if this one was before."""
        is_new = not self.marks[row]
        self.marks[row] = REASONS.index(reason) + 1
        return int(self.marks.count_nonzero()) if is_new else 0

    def count(self, rows: NDArray[np.int64]) -> dict[str, int]:
        """Return how many of these rows are marked, by reason, the most frequent first."""
        counts = np.bincount(self.marks.numpy()[np.unique(rows)], minlength=len(REASONS) + 1)[1:]
        found = sorted(
            ((int(count), reason) for count, reason in zip(counts, REASONS, strict=True) if count), reverse=True
        )
        return {reason: count for count, reason in found}

    def rows_by_reason(self) -> dict[str, list[int]]:
        """Return the marked rows, in plain Python."""
        marks = self.marks.numpy()
        rows = {reason: np.flatnonzero(marks == code).tolist() for code, reason in enumerate(REASONS, 1)}
        return {reason: marked for reason, marked in rows.items() if marked}

    def restore(self, rows_by_reason: Mapping[str, Iterable[int]]) -> None:
        """Set the marks that `rows_by_reason` returned, of this or another version."""
        for reason in set(REASONS) & set(rows_by_reason):
            self.marks[list(rows_by_reason[reason])] = REASONS.index(reason) + 1

    def merge(self, marks: torch.Tensor) -> None:
        """Add marks (num_rows,); those that another process sets meanwhile are kept."""
        is_more = marks > self.marks
        self.marks[is_more] = marks[is_more]


def describe_skipped(total: int, counts: Mapping[str, int]) -> str:
    """Say how many of the samples were left out for which reason.

    >>> describe_skipped(19, {"image missing": 5, "image of another size": 4})
    '9 of 19 samples left out: image missing 5, image of another size 4'
    """
    text = f"{sum(counts.values())} of {total} samples left out"
    return text + (": " + ", ".join(f"{reason} {count}" for reason, count in counts.items()) if counts else "")


def _share(marks: torch.Tensor) -> torch.Tensor:
    """Move marks into shared memory; without any (a container's may be full), workers' marks are lost: a warning."""
    try:
        return marks.share_memory_()
    except RuntimeError as error:
        MMLogger.get_current_instance().warning(
            f"no shared memory ({error}): samples that the workers of data loaders leave out cannot be counted"
        )
        return marks
