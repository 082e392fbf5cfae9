"""The codec against hand-made numbers."""

import numpy as np
import pytest
from mmpose.registry import KEYPOINT_CODECS

from dfmamba.codecs import A2JCodec


def joints(*rows):
    return np.array([rows], dtype=np.float32)


def test_encode_by_hand():
    encoded = A2JCodec().encode(joints((10, 20, 0), (30.5, 40, 1.5625), (0, 0, -200), (1, 2, 100)))
    expected = joints((10, 20, 128), (30.5, 40, 129), (0, 0, 0), (1, 2, 192))
    np.testing.assert_allclose(encoded["keypoint_labels"], expected)
    np.testing.assert_array_equal(encoded["keypoint_weights"], [[1, 1, 1, 1]])
    assert {value.dtype for value in encoded.values()} == {np.dtype("float32")}


def test_decode_by_hand():
    keypoints, scores = A2JCodec().decode(joints((10, 20, 128), (3, 4, 256)), np.array([[0.25, 0.5]]))
    np.testing.assert_allclose(keypoints, joints((10, 20, 0), (3, 4, 200)))
    np.testing.assert_array_equal(scores, [[0.25, 0.5]])
    np.testing.assert_array_equal(A2JCodec().decode(joints((1, 2, 3)))[1], [[1]])


def test_by_default_the_volume_is_the_papers():
    encoded = A2JCodec().encode(joints((255.9, 255.9, 199.9), (256, 0, 0), (0, 256, 0), (0, 0, 200)))
    assert encoded["keypoint_weights"].tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    "codec",
    [A2JCodec(), A2JCodec((128, 96), 64, 300.0), KEYPOINT_CODECS.build({"type": "A2JCodec", "depth_bins": 128})],
)
def test_round_trip(codec):
    half_depth = codec.depth_range_mm / 2
    low, high = (0, 0, -half_depth), (*codec.input_size, half_depth)
    keypoints = np.random.default_rng(0).uniform(low, high, (1, 42, 3))
    encoded = codec.encode(keypoints, np.ones((1, 42)))
    assert encoded["keypoint_weights"].all()
    decoded, _ = codec.decode(encoded["keypoint_labels"])
    np.testing.assert_allclose(decoded, keypoints, atol=0.01)


@pytest.mark.parametrize(
    ("joint", "weight"),
    [
        ((0, 0, -200), 1),
        ((127.9, 63.9, 199), 1),
        ((-0.1, 5, 0), 0),
        ((128, 5, 0), 0),
        ((5, -0.1, 0), 0),
        ((5, 64, 0), 0),
        ((5, 5, -201), 0),
        ((5, 5, 200), 0),
        ((5, 5, np.nan), 0),
        ((np.inf, 5, 0), 0),
    ],
)
def test_joints_out_of_range_on_any_axis_do_not_count(joint, weight):
    encoded = A2JCodec(input_size=(128, 64)).encode(joints(joint))
    assert encoded["keypoint_weights"].item() == weight
    assert np.isfinite(encoded["keypoint_labels"]).all()


def test_joints_that_are_not_annotated_do_not_count():
    encoded = A2JCodec().encode(np.full((1, 3, 3), 5.0), np.array([[1.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(encoded["keypoint_weights"], [[1, 0, 1]])


def test_input_is_left_alone():
    keypoints, labels = joints((1, 2, 3)), joints((1, 2, 3))
    A2JCodec().encode(keypoints)
    A2JCodec().decode(labels)
    np.testing.assert_array_equal(keypoints, joints((1, 2, 3)))
    np.testing.assert_array_equal(labels, joints((1, 2, 3)))


def test_flat_joints_are_refused():
    with pytest.raises(ValueError, match=r"keypoints: expected shape \(N, K, 3\).*got \(1, 21, 2\)"):
        A2JCodec().encode(np.zeros((1, 21, 2)))


def test_everything_that_metrics_read_gets_packed():
    """GenerateTarget's tables replace those of PackPoseInputs, so ours must hold all that mmpose's pipeline makes."""
    transforms = pytest.importorskip("mmpose.datasets.transforms")
    results = {
        "img": np.zeros((8, 8, 3), np.uint8),
        "keypoints": joints((1, 2, 3)),
        "keypoints_visible": np.ones((1, 1), np.float32),
        "keypoints_cam": joints((1, 2, 600)),
        "bbox": np.array([[0, 0, 8, 8]]),
        "bbox_score": np.ones(1),
    }
    results = transforms.GenerateTarget(encoder={"type": "A2JCodec"}).transform(results)
    sample = transforms.PackPoseInputs(meta_keys=()).transform(results)["data_samples"]
    assert set(sample.gt_instances.keys()) == {
        "bboxes",
        "bbox_scores",
        "keypoints",
        "keypoints_cam",
        "keypoints_visible",
    }
    assert sample.gt_instance_labels.keypoint_labels.shape == (1, 1, 3)
    assert sample.gt_instance_labels.keypoint_weights.tolist() == [[1]]


def test_unknown_depths_have_no_weight_of_their_own():
    """Of two hands whose right one has no depths; of one hand that is the left one of a sample."""
    visible = np.ones((1, 42))
    visible[0, 41] = 0
    encoded = A2JCodec().encode(np.full((1, 42, 3), 5.0), visible, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(encoded["keypoint_weights"], visible)
    np.testing.assert_array_equal(encoded["depth_weights"], [[0] * 21 + [1] * 20 + [0]])
    assert encoded["depth_weights"].dtype == np.float32
    one = A2JCodec().encode(np.full((1, 21, 3), 5.0), depth_known=np.array([0.0, 1.0]))
    np.testing.assert_array_equal(one["depth_weights"], np.ones((1, 21)))
    all_known = A2JCodec().encode(np.full((1, 42, 3), 5.0))
    np.testing.assert_array_equal(all_known["depth_weights"], all_known["keypoint_weights"])
