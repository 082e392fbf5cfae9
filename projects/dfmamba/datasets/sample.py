"""The part of a sample that says where a hand is, for data sets with one hand a sample in the two-hand order."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import project
from dfmamba.skeleton import SIDES, TWO_HANDS, WRIST, hand_slice


def sample_of_one_hand(
    side: int, joints_cam_mm: NDArray, valid: NDArray[np.bool_], focal_px: ArrayLike, principal_point_px: ArrayLike
) -> dict[str, Any]:
    """Return the joints, root depths, hand type and camera of a sample; see the table in `dfmamba.datasets.base`.

    The other hand's joints are not valid, and its root depth is 0.

    Args:
        side: `RIGHT` or `LEFT`.
        joints_cam_mm: (21, 3), camera space; joints that are not valid may hold anything.
        valid: (21,), the wrist among them.
        focal_px: (2,).
        principal_point_px: (2,).
    """
    joints_cam, keypoints = np.zeros((2, TWO_HANDS.num_joints, 3))
    visible = np.zeros(TWO_HANDS.num_joints, dtype=bool)
    visible[hand_slice(side)] = valid
    joints_cam[visible] = joints_cam_mm[valid]
    wrist_depth = float(joints_cam_mm[WRIST, 2])
    keypoints[visible, :2] = project(joints_cam[visible], focal_px, principal_point_px)
    keypoints[visible, 2] = joints_cam[visible, 2] - wrist_depth
    sides = np.arange(len(SIDES)) == side  # [right, left]
    return {
        "keypoints": keypoints[None].astype(np.float32),
        "keypoints_cam": joints_cam[None].astype(np.float32),
        "keypoints_visible": visible[None].astype(np.float32),
        "root_depth": (np.repeat(sides, TWO_HANDS.num_joints // len(SIDES)) * wrist_depth).astype(np.float32),
        "hand_type": sides[None].astype(np.float32),
        "hand_type_valid": np.ones(1, dtype=np.float32),
        "rel_root_depth": np.zeros(1, dtype=np.float32),
        "rel_root_valid": np.zeros(1, dtype=np.float32),
        "abs_depth": (sides * wrist_depth).astype(np.float32),
        "focal": np.array(focal_px, dtype=np.float32),
        "principal_pt": np.array(principal_point_px, dtype=np.float32),
    }
