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
from dfmamba.skeleton import SIDES, TWO_HANDS, WRIST, hand_slice

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
    sizes_px = dict(zip(np.flatnonzero(there).tolist(), _sizes_px(boxes), strict=True))
    focal, point = columns["focal_px"][image].astype(np.float64), columns["principal_point_px"][image]
    if not focal.any():
        focal = np.repeat(STAND_IN_DEPTH_MM * max(sizes_px.values()) / TYPICAL_REACH_MM, 2)
        size = columns["image_size"][image]
        point = (size - 1) / 2 if size.all() else (boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2
    joints, valid = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
    file_points = np.full((TWO_HANDS.num_joints, 2), np.nan)
    root_depth, known = np.zeros(len(SIDES)), np.zeros((2, len(SIDES)), dtype=bool)
    for side, size_px in sizes_px.items():
        hand = {name: columns[name][rows[side]] for name in OF_HANDS}
        known[:, side] = hand["depth_known"], hand["space_known"]
        if hand["space_known"]:
            cam, root_depth[side] = hand["joints_cam_mm"], hand["joints_cam_mm"][WRIST, 2]
        else:
            in_front_mm = 2 * np.abs(hand["depth_mm"]).max()  # of a hand that fills a whole image
            root_depth[side] = max(focal.mean() * TYPICAL_REACH_MM / size_px, in_front_mm)
            cam = back_project(hand["points_px"], root_depth[side] + hand["depth_mm"], focal, point)
        joints[hand_slice(side)], valid[hand_slice(side)] = cam, hand["joint_valid"]
        file_points[hand_slice(side)] = hand["file_points_px"]
    box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return PlacedHands(joints, valid, root_depth, focal, np.asarray(point), there, *known, file_points, box)


def _sizes_px(boxes_xyxy: Array) -> list[float]:
    """Return how large hands in boxes (n, 4) are in the image, by the longer side."""
    sides: list[float] = ((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1) / BOX_ENLARGEMENT).tolist()
    return sides
