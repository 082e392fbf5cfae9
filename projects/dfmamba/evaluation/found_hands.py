"""Hands that a program found in whole pictures, against those that are there: how many, and how well.

For programs of any kind, which find hands by themselves. A hand that is there is found by the hand whose joints are
nearest to its own in the picture, if that is near enough (`NEAR`); each of the two counts once. Errors are of found
hands only, so read them beside the number of these.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dfmamba.evaluation.functional import joint_errors, procrustes_align
from dfmamba.geometry import Array
from dfmamba.skeleton import WRIST

NEAR = 0.3  # mean distance of the joints as a part of the longer side of the true joints' box


@dataclass(frozen=True)
class HandInPicture:
    """One hand of 21 joints in canonical order.

    Attributes:
        side: `right` or `left`.
        keypoints_px: (21, 2).
        keypoints_mm: (21, 3), relative to any point; None where it is not known.
        valid: (21,) bool, which joints are known.
    """

    side: str
    keypoints_px: Array
    keypoints_mm: Array | None
    valid: Array


@dataclass(frozen=True)
class FoundHands:
    """The score of one program; means over found hands, NaN without any.

    Attributes:
        there: Hands in the pictures.
        found: How many of these were found.
        right_side: How many of the found ones have the right side.
        too_many: Hands that were found and are not there.
        error_px: Mean distance of the joints in the picture.
        error_of_size: The same as a part of the longer side of the true joints' box.
        root_relative_mm: Mean distance in space, wrists put together, of hands whose wrist and places in mm are known.
        procrustes_mm: The same after the best turn, size and place.
    """

    there: int
    found: int
    right_side: int
    too_many: int
    error_px: float
    error_of_size: float
    root_relative_mm: float
    procrustes_mm: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


def match(there: Sequence[HandInPicture], found: Sequence[HandInPicture]) -> list[tuple[int, int]]:
    """Return pairs (number of a hand that is there, number of the hand that found it), the nearest first."""
    distances = np.full((len(there), len(found)), np.inf)
    for row, true in enumerate(there):
        for column, one in enumerate(found):
            distance = _distance_px(true, one)
            if distance <= NEAR * _size_px(true):
                distances[row, column] = distance
    pairs = []
    while np.isfinite(distances).any():
        row, column = (int(number) for number in np.unravel_index(np.argmin(distances), distances.shape))
        pairs.append((row, column))
        distances[row, :] = distances[:, column] = np.inf
    return pairs


def score_found(there: Sequence[Sequence[HandInPicture]], found: Sequence[Sequence[HandInPicture]]) -> FoundHands:
    """Score a program.

    Args:
        there: The hands of each picture.
        found: What it found in each picture.

    Raises:
        ValueError: The numbers of pictures differ.
    """
    if len(there) != len(found):
        raise ValueError(f"found: expected one list for each of {len(there)} pictures, got {len(found)}")
    pixels, sizes, relative, aligned = [], [], [], []
    right_side = count = 0
    for true_hands, found_hands in zip(there, found, strict=True):
        for row, column in match(true_hands, found_hands):
            true, one = true_hands[row], found_hands[column]
            count += 1
            right_side += true.side == one.side
            pixels.append(_distance_px(true, one))
            sizes.append(pixels[-1] / _size_px(true))
            if true.keypoints_mm is not None and one.keypoints_mm is not None and true.valid[WRIST]:
                valid = true.valid
                both = [joints - joints[WRIST] for joints in (one.keypoints_mm, true.keypoints_mm)]
                relative.append(float(joint_errors(*both)[valid].mean()))
                fitted = procrustes_align(one.keypoints_mm[None], true.keypoints_mm[None], valid[None])[0]
                aligned.append(float(joint_errors(fitted, true.keypoints_mm)[valid].mean()))
    means = [float(np.mean(values)) if values else float("nan") for values in (pixels, sizes, relative, aligned)]
    number_there, number_found = (sum(len(hands) for hands in pictures) for pictures in (there, found))
    return FoundHands(number_there, count, right_side, number_found - count, *means)


def _distance_px(true: HandInPicture, one: HandInPicture) -> float:
    return float(np.linalg.norm(true.keypoints_px - one.keypoints_px, axis=-1)[true.valid].mean())


def _size_px(true: HandInPicture) -> float:
    return float(np.ptp(true.keypoints_px[true.valid], axis=0).max())
