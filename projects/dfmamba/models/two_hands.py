"""The way back from the joints of one hand to the order of two hands, in which the data set has them."""

import numpy as np
from mmpose.structures import PoseDataSample
from numpy.typing import NDArray

from dfmamba.skeleton import LEFT, ONE_HAND, TWO_HANDS, hand_slice

FIELDS = ("keypoints", "keypoints_cam", "keypoints_scale_free", "keypoints_visible", "keypoint_scores")


def restore_two_hands(sample: PoseDataSample) -> PoseDataSample:
    """Undo `ToSingleHand` in prediction and truth: 42 joints, the other hand's 0; others stay as they are.

    Args:
        sample: A data sample with predictions, of the image on disk (`mirror_back`). Meta keys: `one_of_two_hands`, and
            if it is true `hand_type`; `root_depth` is changed if it is there.

    Raises:
        ValueError: A hand was taken out of two, and it is not known which.
    """
    info = sample.metainfo
    if not info.get("one_of_two_hands", False):
        return sample
    if "hand_type" not in info:
        raise ValueError(
            f"hand_type: expected the hand's side among the meta keys, got only {sorted(info)}; name it "
            "in the meta_keys of PackPoseInputs"
        )
    joints = hand_slice(int(np.reshape(info["hand_type"], -1)[LEFT] > 0))
    for instances in (sample.pred_instances, sample.gt_instances):
        if "keypoints" not in instances:  # a picture without truth
            continue
        for name in set(FIELDS) & set(instances.keys()):
            instances.set_field(_among_two_hands(instances[name], joints, axis=1), name)
    if "root_depth" in info:
        sample.set_metainfo({"root_depth": _among_two_hands(info["root_depth"], joints, axis=0)})
    return sample


def _among_two_hands(values: NDArray[np.floating], joints: slice, axis: int) -> NDArray[np.floating]:
    """Return values of one hand's joints along an axis at their place among 42, with 0 for the others."""
    before, after = joints.start, TWO_HANDS.num_joints - ONE_HAND.num_joints - joints.start
    return np.pad(values, [(before, after) if axis == number else (0, 0) for number in range(values.ndim)])
