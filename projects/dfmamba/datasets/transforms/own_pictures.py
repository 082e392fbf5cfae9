"""Pictures without ground truth, as mmpose's inferencers give them to a test pipeline: image, box and metainfo.

Transforms leave out what needs the ground truth or the camera. What no picture tells can be said for all that follow,
as an entry of the model's `dataset_meta`, which the inferencers add to every sample:

    hand_side           'right' or 'left', for models of one hand; right if nothing is said, with a warning
    bone_length         mm, of DetNet's reference bone; that of a hand of 180 mm if nothing is said, with a warning
    focal, principal_pt (2,) px, both or none, for crops seen along their line of sight; left out if nothing is said
    center_depth        mm, the depth of the hand's center in an NYU depth image; without it that is an error

A sample of a data set without its ground truth stays an error: it has a number, `sample_idx`, which a picture has not.
"""

from functools import cache
from typing import Any

import numpy as np
from mmengine.logging import MMLogger

from dfmamba.skeleton import RIGHT, SIDES

JOINTS = {"keypoints", "keypoints_cam"}


def has_gt(results: dict[str, Any]) -> bool:
    """Tell a data set's sample, which has joints, from a picture of one's own, which has none.

    Raises:
        ValueError: A data set's sample has no joints.
    """
    is_there = not JOINTS.isdisjoint(results)
    if not is_there and "sample_idx" in results:
        raise ValueError(
            f"keypoints: expected the joints of sample {results['sample_idx']} of a data set, got only "
            f"{', '.join(sorted(results))}"
        )
    return is_there


def count_joints(results: dict[str, Any]) -> int:
    """Return K, the number of joints of a sample's joint set."""
    return results["keypoints"].shape[1] if has_gt(results) else len(results["flip_indices"])


def add_hand_type(results: dict[str, Any]) -> None:
    """Add `hand_type` (1, 2) to a picture without ground truth, from its `hand_side`; others stay as they are.

    Raises:
        ValueError: `hand_side` is no side, or a data set's sample has no `hand_type`.
    """
    if "hand_type" in results:
        return
    if has_gt(results):
        raise ValueError(
            "hand_type: expected a sample that says which hand it is, [[right, left]], got only "
            f"{', '.join(sorted(results))}"
        )
    if "hand_side" not in results:
        warn_once(
            f"hand_side: nobody says which hand the picture shows; taken for a {SIDES[RIGHT]} one. "
            f"model.dataset_meta['hand_side'] = 'left' says otherwise."
        )
    side = results.get("hand_side", SIDES[RIGHT])
    if side not in SIDES:
        raise ValueError(f"hand_side: expected {' or '.join(map(repr, SIDES))}, got {side!r}")
    results["hand_type"] = np.array([[side == name for name in SIDES]], dtype=np.float32)


@cache
def warn_once(message: str) -> None:
    """Log a warning, each one once."""
    MMLogger.get_current_instance().warning(message)
