"""The way back from the picture that a network saw to the picture on disk, for hands that were mirrored for it."""

import numpy as np
from mmpose.structures import PoseDataSample
from numpy.typing import NDArray

from dfmamba.geometry import mirror_box, mirror_points

CAMERA_SPACE = ("keypoints_cam", "keypoints_scale_free")


def mirror_back(sample: PoseDataSample) -> PoseDataSample:
    """Undo `MirrorLeftHand` in prediction, truth and camera of a sample; others stay as they are.

    The sample then describes the image on disk. `mirrored` stays True: the network's input still is mirrored against
    it; flipped left to right, pixel for pixel, that input is the crop that `input_center` and `input_scale` name.

    Args:
        sample: A data sample with predictions in px of the (mirrored) image. Meta keys: `mirrored`, and if it is true
            `ori_shape`; what of `hand_type`, `abs_depth`, `principal_pt` and `input_center` is there is changed.

    Raises:
        ValueError: The sample was mirrored, and the width of its image is not known.
    """
    info = sample.metainfo
    if not info.get("mirrored", False):
        return sample
    if "ori_shape" not in info:
        raise ValueError(
            "ori_shape: expected the size of the mirrored image among the meta keys, got only "
            f"{sorted(info)}; name it in the meta_keys of PackPoseInputs"
        )
    width = info["ori_shape"][1]
    for instances in (sample.pred_instances, sample.gt_instances):
        for name, values in list(instances.items()):
            instances.set_field(_mirror_field(name, values, width), name)
    changes = {name: np.asarray(info[name])[..., ::-1].copy() for name in ("hand_type", "abs_depth") if name in info}
    if "principal_pt" in info:
        changes["principal_pt"] = mirror_points(info["principal_pt"], width)
    if "input_center" in info:
        # mmpose takes the edge of pixel 0, not its centre, for the crop's border: one crop px more
        crop_px = np.divide(info["input_scale"], info["input_size"])
        changes["input_center"] = mirror_points(info["input_center"], width) + crop_px * (1, 0)
    sample.set_metainfo(changes)
    return sample


def _mirror_field(name: str, values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Return the mirrored values of a field of the instances; fields without coordinates stay as they are."""
    if name in CAMERA_SPACE:
        return values * np.array([-1, 1, 1], dtype=values.dtype)
    if name == "keypoints":
        return mirror_points(values, width)
    return mirror_box(values, width) if name == "bboxes" else values
