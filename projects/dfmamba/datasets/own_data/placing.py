"""A place in space for hands that are known in the image only, so that every sample is of one form.

Without a camera, or without the depth of the wrist, nobody knows where in space a hand is. The sample contract wants
joints before a camera all the same, whose projection is where the joints are in the image. So a hand without a place is
put where a hand of 180 mm would be as large as it is in the image; a missing camera is one that has the largest hand of
the sample at 700 mm, and looks at the center of the image. `depth_known` and `space_known` of the sample say what is
true of it: losses leave unknown depths out, and scores in mm count known places only.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.own_data.annotations import BOX_ENLARGEMENT
from dfmamba.datasets.validation import TYPICAL_REACH_MM
from dfmamba.geometry import back_project
from dfmamba.skeleton import TWO_HANDS, WRIST, hand_slice

STAND_IN_DEPTH_MM = 700.0
OF_HANDS = ("joints_cam_mm", "points_px", "depth_mm", "joint_valid", "file_points_px", "depth_known", "space_known")

Array = NDArray[np.floating]


class PlacedHands(NamedTuple):
    """The hands of a sample in space.

    Attributes:
        joints_cam_mm: (42, 3).
        valid: (42,).
        root_depth_mm: (2,), [right, left], 0 for a hand that is not there.
        focal_px: (2,).
        principal_point_px: (2,).
        there: (2,), which hands there are.
        depth_known: (2,), whose depths relative to the wrist are true.
        space_known: (2,), whose `joints_cam_mm` are true.
        file_points_px: (42, 2), what the file says; NaN where it says nothing.
        box_xyxy: (4,) px, around both hands.
    """

    joints_cam_mm: Array
    valid: NDArray[np.bool_]
    root_depth_mm: Array
    focal_px: Array
    principal_point_px: Array
    there: NDArray[np.bool_]
    depth_known: NDArray[np.bool_]
    space_known: NDArray[np.bool_]
    file_points_px: Array
    box_xyxy: Array


def place_hands(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> PlacedHands:
    """Place the hands of a sample.

    Args:
        columns: Of `parse_own_data`.
        rows: (2,), the rows of the [right, left] hand; -1 for one that is not there.
    """
    there = rows >= 0
    image = columns["image"][rows[there][0]]
    boxes = columns["box_xyxy"][rows[there]].astype(np.float64)
    around_both = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    sizes_px = dict(zip(np.flatnonzero(there).tolist(), _sizes_px(boxes), strict=True))
    focal, point = columns["focal_px"][image].astype(np.float64), columns["principal_point_px"][image]
    if not focal.any():
        focal, point = _stand_in_camera(max(sizes_px.values()), columns["image_size"][image], around_both)
    joints, valid = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
    file_points = np.full((TWO_HANDS.num_joints, 2), np.nan)
    root_depth, depth_known, space_known = np.zeros(2), np.zeros(2, dtype=bool), np.zeros(2, dtype=bool)
    for side, size_px in sizes_px.items():
        hand = {name: columns[name][rows[side]] for name in OF_HANDS}
        part = hand_slice(side)
        joints[part] = hand["joints_cam_mm"] if hand["space_known"] else _stand_in(hand, size_px, focal, point)
        root_depth[side] = joints[part][WRIST, 2]
        valid[part], file_points[part] = hand["joint_valid"], hand["file_points_px"]
        depth_known[side], space_known[side] = hand["depth_known"], hand["space_known"]
    return PlacedHands(
        joints, valid, root_depth, focal, point, there, depth_known, space_known, file_points, around_both
    )


def _stand_in_camera(size_px: float, image_size: NDArray[np.integer], box_xyxy: Array) -> tuple[Array, Array]:
    """Return focal lengths (2,) and principal point (2,) in px of a camera for a hand of this size in the image."""
    focal = np.repeat(STAND_IN_DEPTH_MM * size_px / TYPICAL_REACH_MM, 2)
    return focal, (image_size - 1) / 2 if image_size.all() else (box_xyxy[:2] + box_xyxy[2:]) / 2


def _stand_in(hand: Mapping[str, NDArray[Any]], size_px: float, focal_px: Array, principal_point_px: Array) -> Array:
    """Return the joints (21, 3) of a hand of 180 mm that is as large in the image, with the hand's depths."""
    farthest_mm = np.abs(hand["depth_mm"][hand["joint_valid"]]).max()
    # The hand of a large image and a short lens would else be so near that its depths reach behind the camera.
    root_depth = max(float(focal_px.mean()) * TYPICAL_REACH_MM / size_px, 2 * float(farthest_mm))
    return back_project(hand["points_px"], root_depth + hand["depth_mm"], focal_px, principal_point_px)


def _sizes_px(boxes_xyxy: Array) -> list[float]:
    """Return how large hands in boxes (n, 4) are in the image, by the longer side."""
    sides: list[float] = ((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1) / BOX_ENLARGEMENT).tolist()
    return sides
