"""Boxes of the right and left hands in a picture: the true ones, around joints, and those at the peaks of maps.

It needs numpy alone: the codec, the metric and the finder that runs without torch share it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import Array, tight_box, xywh_to_xyxy
from dfmamba.skeleton import SIDES, hand_slice

BOX_SCALE = 1.2  # of the tight box of joints: hands have flesh, and joints that were found are not exact
MIN_JOINTS = 2  # a box needs two points
MIN_SHARE = 0.25  # of a hand's box in the picture; of less nobody is asked to find anything
SURE = 0.4  # score from which on a box is taken for a hand (docs/hand_finder.md)
SAME_HAND = 0.5  # overlap above which two boxes are of the same hand; hands that touch overlap less


class FoundBoxes(NamedTuple):
    """N boxes of hands, the surest first.

    Attributes:
        corners: (N, 4), x0, y0, x1, y1 in px.
        scores: (N,), how sure it is that there is a hand, 0 to 1.
        sides: (N,), the likelier side, a number of `SIDES`.
    """

    corners: Array
    scores: Array
    sides: NDArray[np.int64]


class TrueBoxes(NamedTuple):
    """The boxes of the [right, left] hand: corners (2, 4) in px, cut to the picture, and what is known of them.

    Attributes:
        corners: Zeros of a hand that is not in the picture, or of which nobody knows where it is.
        is_there: (2,), whether there is such a box, at least `MIN_SHARE` of which is in the picture.
        is_open: (2,), whether a hand is there that none has to find: without joints that would tell its box, for which
            the corners are zeros, or with less of it in the picture.
    """

    corners: Array
    is_there: NDArray[np.bool_]
    is_open: NDArray[np.bool_]


def boxes_of_hands(points_px: ArrayLike, valid: ArrayLike, hand_type: ArrayLike, size: tuple[int, int]) -> TrueBoxes:
    """Return the boxes of both hands of a picture.

    Args:
        points_px: (42, 2 or more), joints in px of the picture.
        valid: (42,), above 0 for joints that are annotated.
        hand_type: [right, left], above 0 where the hand is there.
        size: (width, height) of the picture in px.
    """
    points, known = np.asarray(points_px, dtype=np.float64)[:, :2], np.asarray(valid).reshape(-1) > 0
    known &= np.isfinite(points).all(axis=1)
    corners = np.zeros((len(SIDES), 4))
    is_there, is_open = (np.zeros(len(SIDES), dtype=bool) for _ in range(2))
    for side, is_in_picture in enumerate(np.asarray(hand_type).reshape(-1) > 0):
        part = hand_slice(side)
        if known[part].sum() < MIN_JOINTS:
            is_open[side] = is_in_picture
            continue
        whole = xywh_to_xyxy(tight_box(points[part], known[part], BOX_SCALE))
        inside = np.clip(whole, 0, [*size, *size])
        share = float(area(inside) / area(whole).clip(1e-6))
        if share > 0:
            corners[side], is_there[side] = inside, share >= MIN_SHARE
            is_open[side] = not is_there[side]
    return TrueBoxes(corners, is_there, is_open)


def boxes_at_peaks(heatmaps: Array, boxes: Array, min_score: float) -> FoundBoxes:
    """Return the boxes at the peaks of maps.

    A cell is as sure of a hand as it is of both sides together, and its box is the mean of both sides' boxes, each as
    heavy as the side is likely: a finder that cannot tell sides apart is still sure of the hand. Of boxes that lie on
    each other the surest is kept.

    Args:
        heatmaps: (2, H, W), how sure it is that the middle of a [right, left] hand is in a cell, 0 to 1.
        boxes: (2, 4, H, W), the corners of the hand's box in px, as each cell has them.
        min_score: Of a peak.
    """
    total = heatmaps.sum(axis=0)
    height, width = total.shape
    padded = np.pad(total, 1, constant_values=-np.inf)
    around = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    rows, columns = np.nonzero((total >= np.max(around, axis=0)) & (total >= min_score))
    order = np.argsort(-total[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    of_sides, scores = heatmaps[:, rows, columns], total[rows, columns]
    shares = of_sides / np.maximum(scores, np.finfo(np.float32).tiny)
    corners = (shares[:, None] * boxes[:, :, rows, columns]).sum(axis=0).T
    kept: list[int] = []
    for number, box in enumerate(corners):
        if not (overlap(box, corners[kept]) > SAME_HAND).any():
            kept.append(number)
    return FoundBoxes(corners[kept], np.minimum(scores[kept], 1), of_sides.argmax(axis=0)[kept])


def area(corners: ArrayLike) -> Array:
    """Return the area (...) of boxes (..., 4) in square px, 0 of those that have none."""
    corners = np.asarray(corners)
    width_and_height = np.maximum(corners[..., 2:] - corners[..., :2], 0)
    return np.asarray(width_and_height.prod(axis=-1))


def overlap(box: ArrayLike, others: ArrayLike) -> Array:
    """Return intersection over union (N,) of a box (4,) and others (N, 4)."""
    box, others = np.asarray(box), np.asarray(others)
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = area(np.concatenate([low, high], axis=1))
    return common / np.maximum(area(box) + area(others) - common, 1e-6)
