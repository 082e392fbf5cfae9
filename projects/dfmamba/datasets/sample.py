"""A sample and a prediction: built once, and what is done to the one is undone in the other, side by side.

    done to a sample, by a transform          undone in prediction and ground truth, by the estimator or the head
    `mirror` (`MirrorLeftHand`)               `mirror_back`
    `take_hand` (`ToSingleHand`)              `put_hand_back`
    `turn_to_view` (`RotateKeypoints3D`)     `turn_back`

`RandomHandFlip` mirrors, too; its samples are for training only, and mirroring twice is the identity. The crop is
mmpose's, which also leads predictions back from it. `lift` takes predictions to camera space, for metrics and pictures.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import Array, back_project, mirror_box, mirror_points, project
from dfmamba.skeleton import LEFT, ONE_HAND, SIDES, TWO_HANDS, WRIST, hand_slice

if TYPE_CHECKING:
    from mmpose.structures import PoseDataSample

SAMPLE_NAMES = ("img_id", "id", "seq_name", "camera", "capture", "subject", "frame_idx")
CAMERA_SPACE = ("keypoints_cam", "keypoints_scale_free")
OF_HANDS = ("hand_type", "abs_depth", "depth_known", "space_known")  # [right, left]
OF_JOINTS = ("keypoints", "keypoints_cam", "keypoints_scale_free", "keypoints_visible", "keypoint_scores")


def build_sample(
    joints_cam_mm: ArrayLike,
    valid: ArrayLike,
    root_depth_mm: ArrayLike,
    abs_depth_mm: ArrayLike,
    focal_px: ArrayLike,
    principal_point_px: ArrayLike,
    hand_type: ArrayLike,
    bbox_xyxy: ArrayLike,
    image_size: ArrayLike,
    hand_type_valid: float = 1,
    rel_root_valid: bool = False,
    **names: int | str,
) -> dict[str, Any]:
    """Return a sample; `dfmamba.datasets.base` has the table of its entries.

    Args:
        joints_cam_mm: (K, 3), camera space; joints that are not valid may hold anything.
        valid: (K,), which joints are annotated and have a root.
        root_depth_mm: (K,) or a number, the depth that each joint's z is relative to; 0 without a root.
        abs_depth_mm: (2,), [right, left], the depth to lift with.
        focal_px: (2,).
        principal_point_px: (2,).
        hand_type: (2,), [right, left], 1 where the hand is there.
        bbox_xyxy: (4,) px.
        image_size: (2,), width and height that the annotations belong to; 0 where unknown.
        hand_type_valid: 1 where `hand_type` may be used as a label.
        rel_root_valid: Whether both wrists are annotated; then the relative depth of the roots is known.
        **names: `SAMPLE_NAMES`; `capture` and `subject` are 0 unless they are there.
    """
    valid = np.asarray(valid, dtype=bool)
    joints = np.where(valid[:, None], joints_cam_mm, 0)
    keypoints = np.zeros(joints.shape)
    keypoints[valid, :2] = project(joints[valid], focal_px, principal_point_px)
    keypoints[valid, 2] = (joints[:, 2] - root_depth_mm)[valid]
    rel_root_depth = 0.0
    if rel_root_valid:
        right, left = (joints[root, 2] for root in TWO_HANDS.roots)
        rel_root_depth = left - right
    return {
        "capture": 0,
        "subject": 0,
        **names,
        "keypoints": keypoints[None].astype(np.float32),
        "keypoints_cam": joints[None].astype(np.float32),
        "keypoints_visible": valid[None].astype(np.float32),
        "root_depth": np.broadcast_to(root_depth_mm, len(valid)).astype(np.float32),
        "hand_type": np.asarray(hand_type, dtype=np.float32)[None],
        "hand_type_valid": np.array([hand_type_valid], dtype=np.float32),
        "rel_root_depth": np.array([rel_root_depth], dtype=np.float32),
        "rel_root_valid": np.array([rel_root_valid], dtype=np.float32),
        "abs_depth": np.array(abs_depth_mm, dtype=np.float32),
        "focal": np.array(focal_px, dtype=np.float32),
        "principal_pt": np.array(principal_point_px, dtype=np.float32),
        "bbox": np.asarray(bbox_xyxy)[None].astype(np.float32),
        "bbox_score": np.ones(1, dtype=np.float32),
        "image_size": np.array(image_size, dtype=np.int32),
        "rotation": 0,
    }


def build_one_of_two(side: int, joints_cam_mm: Array, valid: NDArray[np.bool_], **entries: Any) -> dict[str, Any]:
    """Return a sample of one hand in the two-hand order; the other hand's joints are not valid, its root depth is 0.

    Args:
        side: `RIGHT` or `LEFT`.
        joints_cam_mm: (21, 3), camera space; joints that are not valid may hold anything.
        valid: (21,), the wrist among them.
        **entries: The other arguments of `build_sample`.
    """
    joints, there = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
    joints[hand_slice(side)], there[hand_slice(side)] = joints_cam_mm, valid
    sides = np.arange(len(SIDES)) == side  # [right, left]
    abs_depth = sides * float(joints_cam_mm[WRIST, 2])
    root_depth = np.repeat(abs_depth, ONE_HAND.num_joints)
    return build_sample(joints, there, root_depth, abs_depth, hand_type=sides, **entries)


def lift(keypoints: ArrayLike, abs_depth_mm: ArrayLike, focal_px: ArrayLike, principal_point_px: ArrayLike) -> Array:
    """Take joints from the image to camera space, (K, 3) in mm.

    Args:
        keypoints: (K, 3), u and v in px of the image, z in mm relative to the root of the joint's hand.
        abs_depth_mm: (K,), or (2,) [right, left]: the depths of the roots.
        focal_px: (2,).
        principal_point_px: (2,).
    """
    points = np.asarray(keypoints)
    depth = np.asarray(abs_depth_mm, dtype=np.float64).reshape(-1)
    if len(depth) != len(points):
        # One hand of a pair: the depth of the other one is 0. NYU's two are equal.
        depth = np.repeat(depth, ONE_HAND.num_joints) if len(points) == TWO_HANDS.num_joints else depth.max()
    return back_project(points[:, :2], points[:, 2] + depth, focal_px, principal_point_px)


def mirror(results: dict[str, Any]) -> None:
    """Mirror the sample; arrays are replaced, not written to."""
    last_column = results["img"].shape[1] - 1
    order = list(results["flip_indices"])
    results["img"] = cv2.flip(results["img"], 1).reshape(results["img"].shape)  # it drops a single channel
    for key in ("keypoints", "keypoints_cam", "keypoints_visible"):
        if key in results:
            results[key] = results[key][:, order]  # indexing makes a copy
    if "root_depth" in results:
        results["root_depth"] = results["root_depth"][order]
    if "keypoints" in results:
        results["keypoints"][..., 0] = last_column - results["keypoints"][..., 0]
    if "keypoints_cam" in results:
        results["keypoints_cam"][..., 0] *= -1
    for key in ("principal_pt", "bbox_center"):
        if key in results:
            results[key] = results[key].copy()
            results[key][..., 0] = last_column - results[key][..., 0]
    if "bbox" in results:
        x0, y0, x1, y1 = np.moveaxis(results["bbox"], -1, 0)
        results["bbox"] = np.stack([last_column - x1, y0, last_column - x0, y1], axis=-1)
    for key in OF_HANDS:
        if key in results:
            results[key] = np.ascontiguousarray(results[key][..., ::-1])
    for key in ("rel_root_depth", "bbox_rotation"):
        if key in results:
            results[key] = -results[key]


def mirror_back(sample: "PoseDataSample") -> "PoseDataSample":
    """Undo `MirrorLeftHand` in prediction, ground truth and camera of a sample; others stay as they are.

    The sample then describes the image on disk. `mirrored` stays True: the network's input still is mirrored against
    it; flipped left to right, pixel for pixel, that input is the crop that `input_center` and `input_scale` name.

    Args:
        sample: A data sample with predictions in px of the (mirrored) image. Meta keys: `mirrored`, and if it is true
            `ori_shape`; what of `OF_HANDS`, `principal_pt` and `input_center` is there is changed.

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
    changes = {name: np.asarray(info[name])[..., ::-1].copy() for name in OF_HANDS if name in info}
    if "principal_pt" in info:
        changes["principal_pt"] = mirror_points(info["principal_pt"], width)
    if "input_center" in info:
        # mmpose takes the edge of pixel 0, not its center, for the crop's border: one crop px more
        crop_px = np.divide(info["input_scale"], info["input_size"])
        changes["input_center"] = mirror_points(info["input_center"], width) + crop_px * (1, 0)
    sample.set_metainfo(changes)
    return sample


def _mirror_field(name: str, values: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the mirrored values of a field of the instances; fields without coordinates stay as they are."""
    if name in CAMERA_SPACE:
        return values * np.array([-1, 1, 1], dtype=values.dtype)
    if name == "keypoints":
        return mirror_points(values, width)
    return mirror_box(values, width) if name == "bboxes" else values


def take_hand(results: dict[str, Any], side: int) -> None:
    """Keep the 21 joints of one hand of a sample with 42; arrays are replaced, not written to."""
    joints = hand_slice(side)
    for key in ("keypoints", "keypoints_cam", "keypoints_visible"):
        if key in results:
            results[key] = results[key][:, joints].copy()
    for key in ("root_depth", "dataset_keypoint_weights"):
        if key in results:
            results[key] = np.asarray(results[key])[joints].copy()
    links = {"flip_indices": ONE_HAND.flip, "flip_pairs": [], "skeleton_links": ONE_HAND.bones}
    results.update({key: list(value) for key, value in links.items() if key in results})


def put_hand_back(sample: "PoseDataSample") -> "PoseDataSample":
    """Undo `ToSingleHand` in prediction and ground truth: 42 joints, the other hand's 0; others stay as they are.

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
        if "keypoints" not in instances:  # a picture without ground truth
            continue
        for name in set(OF_JOINTS) & set(instances.keys()):
            instances.set_field(_among_two_hands(instances[name], joints, axis=1), name)
    if "root_depth" in info:
        sample.set_metainfo({"root_depth": _among_two_hands(info["root_depth"], joints, axis=0)})
    return sample


def _among_two_hands(values: NDArray[Any], joints: slice, axis: int) -> NDArray[Any]:
    """Return values of one hand's joints along an axis at their place among 42, with 0 for the others."""
    before, after = joints.start, TWO_HANDS.num_joints - ONE_HAND.num_joints - joints.start
    return np.pad(values, [(before, after) if axis == number else (0, 0) for number in range(values.ndim)])


def turn_to_view(joints_mm: Array, info: Mapping[str, Any]) -> Array:
    """Turn joints (..., 3) to a camera that looks at the crop's center: R X, R the (3, 3) `view_rotation` if any."""
    return joints_mm @ info["view_rotation"].T if "view_rotation" in info else joints_mm


def turn_back(joints_mm: Array, info: Mapping[str, Any]) -> Array:
    """Undo `turn_to_view`: R^T X of each joint."""
    if "view_rotation" not in info:
        return joints_mm
    return joints_mm @ np.asarray(info["view_rotation"], dtype=joints_mm.dtype)
