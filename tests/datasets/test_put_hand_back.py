"""The way back from one hand to two, by hand."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from dfmamba.datasets.sample import put_hand_back


def make_sample(hand_type=(0.0, 1.0), one_of_two_hands=True):
    sample = PoseDataSample(
        metainfo={
            "one_of_two_hands": one_of_two_hands,
            "hand_type": np.array([hand_type]),
            "root_depth": np.full(21, 600.0),
        }
    )
    joints = np.arange(1.0, 64.0).reshape(1, 21, 3)
    sample.gt_instances = InstanceData(
        keypoints=joints,
        keypoints_cam=joints + 500,
        keypoints_visible=np.ones((1, 21)),
        bboxes=np.array([[1.0, 2, 3, 4]]),
    )
    sample.pred_instances = InstanceData(
        keypoints=-joints,
        keypoints_cam=-joints - 500,
        keypoints_scale_free=joints,
        keypoint_scores=np.full((1, 21), 0.5),
    )
    return sample


@pytest.mark.parametrize(
    ("hand_type", "hand", "other"), [((1, 0), slice(0, 21), slice(21, 42)), ((0, 1), slice(21, 42), slice(0, 21))]
)
def test_the_hand_gets_its_place(hand_type, hand, other):
    before, after = make_sample(), put_hand_back(make_sample(hand_type))
    for part in ("gt_instances", "pred_instances"):
        for name in set(getattr(before, part).keys()) - {"bboxes"}:
            values, old = getattr(after, part)[name], getattr(before, part)[name]
            assert values.shape == (1, 42, *old.shape[2:]), name
            np.testing.assert_array_equal(values[:, hand], old, err_msg=name)
            assert not values[:, other].any(), name
    assert after.root_depth[hand].tolist() == [600] * 21
    assert after.root_depth[other].tolist() == [0] * 21
    assert after.gt_instances.bboxes.tolist() == [[1, 2, 3, 4]]


def test_a_picture_without_gt_has_its_prediction_restored_alone():
    sample = make_sample()
    sample.gt_instances = InstanceData(bboxes=np.ones((1, 4)), keypoints_visible=np.ones((1, 1, 1)))  # mmpose's ones
    put_hand_back(sample)
    assert sample.pred_instances.keypoints.shape == (1, 42, 3)
    assert sample.gt_instances.keypoints_visible.shape == (1, 1, 1)


def test_samples_of_one_hand_stay():
    sample = make_sample(one_of_two_hands=False)
    assert put_hand_back(sample).pred_instances.keypoints.shape == (1, 21, 3)
    assert put_hand_back(PoseDataSample()).metainfo == {}


def test_an_unknown_side_is_named():
    sample = make_sample()
    del sample.hand_type
    with pytest.raises(ValueError, match="hand_type: expected the hand's side among the meta keys"):
        put_hand_back(sample)
