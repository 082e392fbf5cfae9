"""One tile of the contact sheet: mirrored inputs, and the error in its caption by hand."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from dfmamba.engine.hooks.contact_sheet import draw_found_hands, draw_sample
from dfmamba.skeleton import NYU_14, ONE_HAND
from dfmamba.visualization.colors import SIDE_COLORS

SIDE = 32


def make_sample(num_joints=21, predicted_cam=None, **meta):
    """A hand with all joints at the right border of a crop of 32 px that shows the image as it is."""
    keypoints = np.tile([30.0, 4.0, 0.0], (1, num_joints, 1))
    gt = np.zeros((1, num_joints, 3)) + np.array([0, 0, 500.0])
    sample = PoseDataSample(
        metainfo={
            "input_center": np.full(2, SIDE / 2),
            "input_scale": np.full(2, SIDE),
            "id": 3,
            "input_size": (SIDE, SIDE),
            **meta,
        }
    )
    sample.gt_instances = InstanceData(
        keypoints=keypoints, keypoints_cam=gt, keypoints_visible=np.ones((1, num_joints))
    )
    sample.pred_instances = InstanceData(keypoints=keypoints.copy())
    if predicted_cam is not None:
        sample.pred_instances.keypoints_cam = predicted_cam
    return sample


@pytest.mark.parametrize(("mirrored", "bright_column"), [(False, 2), (True, SIDE - 3)])
def test_a_mirrored_input_is_mirrored_back(mirrored, bright_column):
    image = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    image[:, 20, 2] = 255
    tile, _ = draw_sample(image, make_sample(mirrored=mirrored), tile_px=SIDE)
    assert np.argwhere(tile[16:].min(axis=-1) > 100).tolist() == [[4, bright_column]]
    assert tile[:10, 26:].any()  # joints stay where the image on disk has them
    assert not tile[:10, :10].any()


def test_error_is_that_of_the_joints_in_space_where_they_are_predicted():
    cam = np.zeros((1, 21, 3)) + np.array([7.0, 8, 9])
    cam[0, 0] += 3, 4, 0
    _, caption = draw_sample(torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), make_sample(predicted_cam=cam), SIDE)
    assert caption.endswith(f"{5 / 21:.1f} mm")


def test_error_of_lifted_joints():
    meta = {"abs_depth": np.array([500.0, 0]), "focal": np.full(2, 500.0), "principal_pt": np.zeros(2)}
    sample = make_sample(**meta)
    sample.pred_instances.keypoints[0, 0, :2] += 21, 0  # at 500 mm one px is one mm: 21 mm, mean 1 mm
    _, caption = draw_sample(torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), sample, SIDE)
    assert caption.endswith("1.0 mm")


@pytest.mark.parametrize("num_joints", [ONE_HAND.num_joints, NYU_14.num_joints])
def test_without_camera_or_root_there_is_no_error(num_joints):
    image = torch.zeros(1, SIDE, SIDE)
    cam = None if num_joints == ONE_HAND.num_joints else np.zeros((1, 14, 3))
    _, caption = draw_sample(image, make_sample(num_joints, cam), SIDE)
    assert caption.endswith("no error in mm")


def test_boxes_that_were_found_and_the_true_one():
    """A picture of 64 px, shown at half its size: a right hand from 20 to 40, found from 16 to 44 as a left one."""
    sample = make_sample(42, hand_type=np.array([[1, 0]]), ori_shape=(64, 64))
    sample.set_metainfo({"input_center": np.full(2, 32.0), "input_scale": np.full(2, 64.0)})
    sample.gt_instances.keypoints[0, :21, :2] = np.linspace(20, 40, 21)[:, None]  # its box: 18 to 42
    sample.gt_instances.keypoints_visible[0, 21:] = 0
    sample.pred_instances = InstanceData(
        bboxes=np.array([[10.0, 10, 50, 50]]), bbox_scores=np.array([0.456]), labels=np.array([1])
    )
    image = torch.full((3, SIDE, SIDE), 255, dtype=torch.uint8)
    tile, caption = draw_found_hands(image, sample, SIDE)
    assert caption.endswith("left 0.46")
    assert tile[16, 9].tolist() == [0, 0, 0]
    assert tile[16, 5].tolist() == list(SIDE_COLORS["left"])
    assert tile[16, 16].tolist() == [255, 255, 255]
    sample.pred_instances = InstanceData(bboxes=np.zeros((0, 4)), bbox_scores=np.zeros(0), labels=np.zeros(0, int))
    assert draw_found_hands(image, sample, SIDE)[1].endswith("nothing found")
