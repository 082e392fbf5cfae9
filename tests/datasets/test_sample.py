"""What is done to a sample is undone in the prediction: the whole way of a hand to the network and back."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from dfmamba.datasets.sample import (
    SAMPLE_NAMES,
    build_one_of_two,
    build_sample,
    lift,
    mirror,
    mirror_back,
    put_hand_back,
    take_hand,
    turn_back,
    turn_to_view,
)
from dfmamba.geometry import rotation_to_optical_axis
from dfmamba.skeleton import LEFT, ONE_HAND, RIGHT, TWO_HANDS

WIDTH, HEIGHT = 64, 48
CAMERA = {"focal_px": (50.0, 52.0), "principal_point_px": (30.0, 25.0)}
NAMES = {"img_id": 1, "id": 2, "seq_name": "a", "camera": "b", "frame_idx": 3}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_hand(rng):
    """Joints (21, 3) in mm before the camera, one of them not annotated, the wrist among the others."""
    joints = rng.normal([10, -20, 600], 60, (ONE_HAND.num_joints, 3))
    valid = np.arange(ONE_HAND.num_joints) != rng.integers(20)
    return joints, valid


def a_sample(rng, side):
    entries = {**CAMERA, **NAMES, "bbox_xyxy": (5, 6, 40, 30), "image_size": (WIDTH, HEIGHT)}
    sample = build_one_of_two(side, *a_hand(rng), **entries)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return sample | {"img": image, "flip_indices": list(TWO_HANDS.flip)}


def test_one_joint_by_hand():
    """The joint (30, -26, 1000) mm: u = 50 * 0.03 + 30, v = 52 * -0.026 + 25, 400 mm behind its root."""
    sample = build_sample(
        [[30, -26, 1000], [np.nan, 0, 0]],
        [True, False],
        root_depth_mm=600,
        abs_depth_mm=(600, 0),
        hand_type=(1, 0),
        bbox_xyxy=(1, 2, 3, 4),
        image_size=(64, 48),
        **CAMERA,
        **NAMES,
    )
    np.testing.assert_allclose(sample["keypoints"], [[[31.5, 25 - 1.352, 400], [0, 0, 0]]])
    np.testing.assert_array_equal(sample["keypoints_cam"], [[[30, -26, 1000], [0, 0, 0]]])
    assert sample["root_depth"].tolist() == [600, 600]
    assert sample["rel_root_depth"].tolist() == [0]
    assert (sample["capture"], sample["subject"]) == (0, 0)
    assert set(SAMPLE_NAMES) <= sample.keys()


def test_the_left_root_behind_the_right_one():
    joints = np.zeros((TWO_HANDS.num_joints, 3))
    joints[:, 2] = np.repeat([700, 745], ONE_HAND.num_joints)
    entries = {**CAMERA, **NAMES, "hand_type": (1, 1), "bbox_xyxy": (0, 0, 1, 1), "image_size": (0, 0)}
    arguments = (joints, np.ones(42, dtype=bool), joints[:, 2], (700, 745))
    assert build_sample(*arguments, rel_root_valid=True, **entries)["rel_root_depth"].tolist() == [45]
    assert build_sample(*arguments, rel_root_valid=False, **entries)["rel_root_depth"].tolist() == [0]


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_undo_of_do_is_the_identity(side, flipped, turned, rng):
    """Taken out of two, mirrored if asked for, turned along its line of sight; and back, as a perfect prediction."""
    sample = a_sample(rng, side)
    original = {key: np.copy(value) for key, value in sample.items()}
    take_hand(sample, side)
    assert sample["keypoints"].shape == (1, 21, 3)
    if flipped:
        mirror(sample)
    info = {"one_of_two_hands": True, "mirrored": flipped, "ori_shape": (HEIGHT, WIDTH)}
    if turned:
        info["view_rotation"] = rotation_to_optical_axis(np.array([0.3, -0.2, 1.0]))
    joints = turn_to_view(sample["keypoints_cam"], info)
    assert np.allclose(joints, sample["keypoints_cam"]) != turned

    names = ("hand_type", "abs_depth", "root_depth", "principal_pt", "focal")
    data = PoseDataSample(metainfo=info | {name: sample[name] for name in names})
    predicted = {"keypoints": sample["keypoints"], "keypoints_cam": turn_back(joints, info), "bboxes": sample["bbox"]}
    data.pred_instances, data.gt_instances = InstanceData(**predicted), InstanceData(**predicted)
    put_hand_back(mirror_back(data))
    for instances in (data.pred_instances, data.gt_instances):
        for name, key in {"keypoints": "keypoints", "keypoints_cam": "keypoints_cam", "bboxes": "bbox"}.items():
            there = original["keypoints_visible"][0] > 0 if name != "bboxes" else slice(None)
            np.testing.assert_allclose(instances[name][0][there], original[key][0][there], atol=2e-4)
            if name != "bboxes":
                other = np.arange(42) // 21 != side
                assert not instances[name][0][other].any()
    for name in names:
        np.testing.assert_allclose(data.metainfo[name], original[name], err_msg=name)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_mirroring_twice_is_the_identity(side, rng):
    sample = a_sample(rng, side)
    original = {key: np.copy(value) for key, value in sample.items()}
    mirror(sample)
    assert not np.array_equal(sample["img"], original["img"])
    assert np.argmax(sample["hand_type"]) == 1 - side
    mirror(sample)
    for key, value in original.items():
        if value.dtype.kind == "f":
            visible = np.ones(value.shape, dtype=bool)
            if key in ("keypoints", "keypoints_cam"):
                visible = np.broadcast_to(original["keypoints_visible"][..., None] > 0, value.shape)
            np.testing.assert_allclose(sample[key][visible], value[visible], atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(sample[key], value, err_msg=key)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_lifting_undoes_the_projection(side, rng):
    """Of two hands, and of one alone, whose other depth is 0."""
    sample = a_sample(rng, side)
    visible = sample["keypoints_visible"][0] > 0
    camera = (sample["focal"], sample["principal_pt"])
    both = lift(sample["keypoints"][0], sample["abs_depth"], *camera)
    np.testing.assert_allclose(both[visible], sample["keypoints_cam"][0][visible], rtol=1e-4, atol=1e-3)
    take_hand(sample, side)
    one = lift(sample["keypoints"][0], sample["abs_depth"], *camera)
    np.testing.assert_allclose(one[sample["keypoints_visible"][0] > 0], both[visible], rtol=1e-6)
    np.testing.assert_array_equal(one, lift(sample["keypoints"][0], sample["root_depth"], *camera))
