"""Boxes in pictures: given ones, checked, and those around joints that were found."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.apis.hand_model import Array
from dfmamba.apis.results import Detection, HandJoints
from dfmamba.errors import UserError
from dfmamba.geometry import tight_box
from dfmamba.hand_boxes import BOX_SCALE

MIN_BOX_PX = 48.0  # of the box of the joints found: what is smaller shows no joints
Detector = Callable[[NDArray[Any]], ArrayLike]
Boxes = ArrayLike | Sequence[ArrayLike] | Detector | None


def boxes_around(detections: Sequence[Detection], size: tuple[int, int]) -> Array:
    """Return a box (N, 5) around the joints of each detection."""
    return np.stack([_box_of(one.hands, size) for one in detections])


def _box_of(hands: Sequence[HandJoints], size: tuple[int, int]) -> Array:
    """Return the box (5,) around joints, larger by `BOX_SCALE`, cut to the picture; the whole picture without any."""
    if not hands:
        return np.array([0, 0, *size, 1], dtype=np.float32)
    points = np.concatenate([hand.keypoints_px for hand in hands])
    tight = tight_box(points, np.ones(len(points)), BOX_SCALE)
    center, half = tight[:2] + tight[2:] / 2, np.maximum(tight[2:], MIN_BOX_PX) / 2
    box = np.array([*np.maximum(center - half, 0), *np.minimum(center + half, size)])
    if not np.isfinite(box).all() or (box[2:] - box[:2] < 1).any():
        box = np.array([0, 0, *size])
    return np.array([*box, 1], dtype=np.float32)


def is_of_one_picture(boxes: Any) -> bool:
    """Say whether these are the boxes of one picture, not a list of such."""
    try:
        return np.asarray(boxes, dtype=np.float64).ndim <= 2
    except (TypeError, ValueError):
        return False


def given_boxes(boxes: Any, number: int, pixels: NDArray[Any]) -> Any:
    """Return the boxes that are given for a picture, or None."""
    if boxes is None:
        return None
    if callable(boxes):
        return boxes(pixels)
    if is_of_one_picture(boxes):
        if number > 0:
            raise UserError("boxes: expected a list with one array for each picture, got those of one picture")
        return boxes
    if number >= len(boxes):
        raise UserError(f"boxes: expected one array for each picture, got {len(boxes)}")
    return boxes[number]


def check_boxes(boxes: ArrayLike, size: tuple[int, int], name: str) -> Array:
    """Return boxes (N, 5) with a score.

    Raises:
        UserError: They have another shape, no area, or lie beside the picture.
    """
    array = np.atleast_2d(np.asarray(boxes, dtype=np.float32))
    if array.size == 0:
        return np.zeros((0, 5), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5) or not np.isfinite(array).all():
        raise UserError(f"{name}: expected boxes (N, 4) of finite x0, y0, x1, y1 in px, got shape {array.shape}")
    low, high = array[:, :2], array[:, 2:4]
    wrong = (high - low < 1).any(axis=1) | (high <= 0).any(axis=1) | (low >= size).any(axis=1)
    if wrong.any():
        raise UserError(
            f"{name}: expected a box x0, y0, x1, y1 of at least one pixel in a picture of {size[0]}x{size[1]} px, "
            f"got {array[wrong][0, :4].tolist()}"
        )
    return array if array.shape[1] == 5 else np.column_stack([array, np.ones(len(array), dtype=np.float32)])
