"""Samples for models of one right hand, such as DetNet: 21 joints, left hands mirrored, 3D that turns with the crop.

The order of a training pipeline; in a test pipeline `RandomHandBBoxTransform`, `RotateKeypoints3D` and `GenerateTarget`
are left out, and `AddBoneLength` stands in:

    LoadImage, ToSingleHand, MirrorLeftHand, GetBBoxCenterScale, RandomHandBBoxTransform, TopdownAffine,
    RotateKeypoints3D, RandomColorScale, GenerateTarget, PackPoseInputs

For wide lenses `AddViewRotation` may stand before TopdownAffine, in both pipelines.

The contract of `datasets/base.py` holds behind `ToSingleHand` and `MirrorLeftHand`, of the mirrored image. Behind
`RotateKeypoints3D` the joints in space belong to the crop: their projection is `transformed_keypoints`, but with
`AddViewRotation` only at the crop's center.

A test pipeline takes pictures without ground truth, too: see `dfmamba.datasets.transforms.own_pictures`.
"""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS
from numpy.typing import ArrayLike, NDArray

from dfmamba.datasets.sample import mirror, take_hand, turn_to_view
from dfmamba.datasets.transforms.own_pictures import add_hand_type, count_joints, has_gt, warn_once
from dfmamba.geometry import back_project, rotation_to_optical_axis, turn_about_optical_axis
from dfmamba.skeleton import LEFT, ONE_HAND, SIDES, TWO_HANDS, USUAL_BONE, USUAL_BONE_MM, skeleton_with


@TRANSFORMS.register_module()
class ToSingleHand(BaseTransform):
    """Keep the 21 joints of the hand that is there, of a sample with 42; samples with 21 joints stay as they are.

    `hand_type` and `abs_depth` still have both hands and say which one it is. Changed where they are there: keypoints,
    keypoints_cam, keypoints_visible, root_depth, dataset_keypoint_weights, and flip_indices, flip_pairs and
    skeleton_links, which become those of one hand. Added: one_of_two_hands. With the meta keys `one_of_two_hands` and
    `hand_type`, `HandPoseEstimator` gives prediction and ground truth 42 joints again, for the metrics of the data set.

    Data sets give one hand a sample: RHP, DexYCB, AssemblyHands, and InterHand2.6M with `InterHand26MHandsDataset`.
    A picture without ground truth shows one hand, too, the one that its `hand_side` names.

    Raises:
        ValueError: The sample has both hands or none, or neither 21 nor 42 joints.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Take the joints of one hand; arrays are replaced, not written to."""
        num_joints = count_joints(results)
        results["one_of_two_hands"] = num_joints != ONE_HAND.num_joints
        if not results["one_of_two_hands"]:
            return results
        add_hand_type(results)
        there = np.flatnonzero(np.reshape(results["hand_type"], -1) > 0)
        if num_joints != TWO_HANDS.num_joints or len(there) != 1:
            raise ValueError(
                "ToSingleHand: expected 21 joints, or 42 of which one hand is there, got "
                f"{num_joints} joints with {' and '.join(SIDES[side] for side in there) or 'no'} hand"
                + (" (see InterHand26MHandsDataset)" if len(there) > 1 else "")
            )
        take_hand(results, int(there[0]))
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class MirrorLeftHand(BaseTransform):
    """Turn left hands into right ones: the image and all that belongs to it are mirrored, as in `RandomHandFlip`.

    u becomes W - 1 - u, in the principal point too, and X becomes -X. `HandPoseEstimator` mirrors prediction and ground
    truth back, for which it needs the meta keys `mirrored` and `ori_shape`.

    Required keys: img, hand_type, keypoints (1, 21, 3), flip_indices; of a picture without ground truth img and
    flip_indices, whose `hand_side` says which hand it shows. Changed: what `RandomHandFlip` changes; so hand_type says
    right. Added: mirrored.

    Raises:
        ValueError: The sample has 42 joints, does not say which hand it is, or the crop has been made already.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror the sample if its hand is a left one; arrays are replaced, not written to."""
        num_joints, cropped = count_joints(results), "transformed_keypoints" in results
        if num_joints != ONE_HAND.num_joints or cropped:
            raise ValueError(
                "MirrorLeftHand: expected 21 joints (see ToSingleHand), and to stand before TopdownAffine "
                f"in the pipeline, got {num_joints} joints{' after it' if cropped else ''}"
            )
        add_hand_type(results)
        results["mirrored"] = bool(np.reshape(results["hand_type"], -1)[LEFT] > 0)
        if results["mirrored"]:
            mirror(results)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class RotateKeypoints3D(BaseTransform):
    """Turn `keypoints_cam` as the crop was turned, for targets in 3D: about the optical axis, or the line of sight.

    It is exact, also for crops beside the principal point: the turned joints project to `transformed_keypoints` with
    the principal point moved as any other point of the image. (fx and fy must be equal; a camera whose differ sees no
    rigid motion in a turned image.) With `view_rotation` (see `AddViewRotation`) the joints are first turned by it, to
    a camera that looks at the crop's center, and only what lies there projects to where the crop shows it. For
    training: focal and principal_pt stay those of the image.

    Required keys: keypoints_cam. Read if there: view_rotation (3, 3); bbox_rotation (1,) in degrees, as
    `RandomHandBBoxTransform` draws it: the box turns clockwise in the image (y down), and so the content of the crop
    counter-clockwise; or cube_rotation, as `RandomRotateScale3D` draws it: the content turns counter-clockwise. (Its
    scale is no matter for targets up to scale.)
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Turn the joints; the array is replaced, not written to."""
        angle = results.get("bbox_rotation", results.get("cube_rotation", 0.0))
        joints = results["keypoints_cam"]
        turned = turn_to_view(joints, results)
        results["keypoints_cam"] = turn_about_optical_axis(turned, -np.reshape(angle, -1)[0]).astype(joints.dtype)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class AddViewRotation(BaseTransform):
    """Add the rotation to a camera that looks at the center of the crop, for joints along its axes.

    A crop does not tell where in the image it lies. Seen by a wide lens, one and the same crop is a hand before the
    camera or a hand at its side, turned by as many degrees as lie between the two; no network can tell. So let it learn
    joints along the line of sight: in training `RotateKeypoints3D` turns them by this rotation, and `DetNetHead` turns
    predictions back, for which it needs the meta key `view_rotation`. It belongs into both pipelines or into none.

    Stands behind `GetBBoxCenterScale` and `RandomHandBBoxTransform`. Required keys: bbox_center (1, 2), focal (2,) and
    principal_pt (2,), in px of the image. Added: view_rotation (3, 3), R X in the turned camera's frame, the smallest
    rotation that takes the ray through the crop's center to the optical axis. Of a picture without ground truth and
    without a camera, nothing is added: its joints are along the line of sight.

    Raises:
        ValueError: One of these keys is not there.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Work the rotation out."""
        if not has_gt(results) and not {"focal", "principal_pt"} & results.keys():
            return results
        missing = [key for key in ("bbox_center", "focal", "principal_pt") if key not in results]
        if missing:
            raise ValueError(
                f"AddViewRotation: expected a camera and a box in the sample, got no {', '.join(missing)} "
                "(bbox_center comes from GetBBoxCenterScale)"
            )
        center = back_project(results["bbox_center"][0], 1.0, results["focal"], results["principal_pt"])
        results["view_rotation"] = rotation_to_optical_axis(center)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class AddBoneLength(BaseTransform):
    """Add the true length of a bone in mm as `bone_length` (1,), which scales the predictions of `DetNetHead`.

    Where one of the bone's ends is not annotated, there is no scale, and so no error in mm: `bone_length` and all of
    `keypoints_visible` become 0, as for a hand without a root. A picture without ground truth gets the `bone_length`
    that it says (see `dfmamba.datasets.transforms.own_pictures`), or that of a hand of 180 mm, with a warning.

    Args:
        bone: The two joints, as in the codec.
        num_joints: The same, of one hand.

    Raises:
        ValueError: There is no joint of that name, the sample has another number of joints, or a picture's
            `bone_length` is no length, or is missing where `bone` is another bone.
    """

    def __init__(self, bone: tuple[str, str] = ("wrist", "middle1"), num_joints: int = 21) -> None:
        names = skeleton_with(num_joints).names
        if not set(bone) <= set(names):
            raise ValueError(f"bone: expected two joints of {', '.join(names)}, got {tuple(bone)}")
        self.bone, self.num_joints = tuple(bone), num_joints
        self.ends = [names.index(joint) for joint in bone]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Measure the bone; arrays are replaced, not written to."""
        if not has_gt(results):
            results["bone_length"] = self._said_length(results.get("bone_length"))
            return results
        joints, visible = results["keypoints_cam"], results["keypoints_visible"]
        if joints.shape[1] != self.num_joints:
            raise ValueError(
                f"AddBoneLength: expected {self.num_joints} joints, got {joints.shape[1]} (see ToSingleHand)"
            )
        start, end = self.ends
        known = bool(visible[0, start] > 0 and visible[0, end] > 0)
        length = np.linalg.norm(joints[0, end] - joints[0, start]) if known else 0
        results["bone_length"] = np.array([length], dtype=np.float32)
        results["keypoints_visible"] = visible * known
        return results

    def _said_length(self, said_mm: ArrayLike | None) -> NDArray[np.float32]:
        """Return the length (1,) in mm for a picture without ground truth."""
        if said_mm is None and self.bone == USUAL_BONE:
            warn_once(
                f"bone_length: nobody says how large the hand is; {'-'.join(self.bone)} is taken for "
                f"{USUAL_BONE_MM} mm long, and lengths in mm scale with it. "
                "model.dataset_meta['bone_length'] = ... in mm says otherwise."
            )
            said_mm = USUAL_BONE_MM
        length = np.ravel(np.nan if said_mm is None else said_mm).astype(np.float32)
        if length.shape != (1,) or not 0 < length[0] < np.inf:
            raise ValueError(
                f"bone_length: expected the length of {'-'.join(self.bone)} in mm, which no picture "
                f"tells, as model.dataset_meta['bone_length'], got {said_mm!r}"
            )
        return length

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bone={self.bone}, num_joints={self.num_joints})"
