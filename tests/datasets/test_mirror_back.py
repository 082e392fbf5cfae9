"""The way back from a mirrored image, by hand and against the way there."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from dfmamba.datasets.sample import mirror_back
from dfmamba.geometry import project

WIDTH = 100


def make_sample(**changes):
    """Return a sample of a left hand that was mirrored, with one joint."""
    sample = PoseDataSample(
        metainfo={
            "mirrored": True,
            "ori_shape": (50, WIDTH),
            "hand_type": np.array([[1.0, 0.0]]),
            "abs_depth": np.array([600.0, 0.0]),
            "principal_pt": np.array([40.0, 20.0]),
            "focal": np.array([500.0, 500.0]),
            "input_center": np.array([30.0, 25.0]),
            "input_scale": np.array([64.0, 64.0]),
            "input_size": (32, 32),
            **changes,
        }
    )
    box = np.array([[10.0, 5, 70, 40]])
    sample.gt_instances = InstanceData(
        keypoints=np.array([[[65.0, 20.0, 0.0]]]), keypoints_cam=np.array([[[30.0, 0.0, 600.0]]]), bboxes=box
    )
    sample.pred_instances = InstanceData(
        keypoints=np.array([[[60.0, 21.0, 7.0]]]),
        keypoint_scores=np.full((1, 1), 0.5),
        bboxes=box,
        keypoints_cam=np.array([[[1.0, 2.0, 3.0]]]),
        keypoints_scale_free=np.array([[[0.1, 0.2, 0.3]]]),
    )
    return sample


def test_by_hand():
    sample = mirror_back(make_sample())
    assert sample.pred_instances.keypoints.tolist() == [[[39, 21, 7]]]
    assert sample.pred_instances.keypoints_cam.tolist() == [[[-1, 2, 3]]]
    assert sample.pred_instances.keypoints_scale_free.tolist() == [[[-0.1, 0.2, 0.3]]]
    assert sample.pred_instances.keypoint_scores.tolist() == [[0.5]]
    assert sample.pred_instances.bboxes.tolist() == [[29, 5, 89, 40]]
    assert sample.gt_instances.keypoints_cam.tolist() == [[[-30, 0, 600]]]
    assert sample.hand_type.tolist() == [[0, 1]]
    assert sample.abs_depth.tolist() == [0, 600]
    assert sample.principal_pt.tolist() == [59, 20]


def test_gt_still_projects_to_its_image_points():
    sample = mirror_back(make_sample())
    points = project(sample.gt_instances.keypoints_cam, sample.focal, sample.principal_pt)
    np.testing.assert_allclose(points, sample.gt_instances.keypoints[..., :2])


def test_crop_is_that_of_the_flipped_input():
    """Pixel x of the network's input is pixel 31 - x of the flipped input; both show the same point of the image."""
    before, after = make_sample(), mirror_back(make_sample())

    def in_image(sample, x):
        return x / 32 * 64 + sample.input_center[0] - 0.5 * 64  # mmpose's way back

    for x in (0.0, 10.0, 31.0):
        assert in_image(after, 31 - x) == pytest.approx(WIDTH - 1 - in_image(before, x))
    assert after.input_center[1] == before.input_center[1]


def test_other_samples_stay_as_they_are():
    for changes in ({"mirrored": False}, {}):
        sample = make_sample(**changes)
        if not changes:
            del sample.mirrored
        assert mirror_back(sample).pred_instances.keypoints.tolist() == [[[60, 21, 7]]]


def test_an_unknown_width_is_named():
    sample = make_sample()
    del sample.ori_shape
    with pytest.raises(ValueError, match=r"ori_shape: expected the size of the mirrored image among the meta keys"):
        mirror_back(sample)
