"""DetNet's targets against hand-made numbers and against a plain transcription with loops."""

import math

import numpy as np
import pytest
from mmpose.registry import KEYPOINT_CODECS

from dfmamba.codecs.detnet import DetNetCodec
from dfmamba.skeleton import FROM_DEXYCB, HAND_JOINTS

WRIST, MIDDLE1, MIDDLE2, THUMB4 = (HAND_JOINTS.index(name) for name in ("wrist", "middle1", "middle2", "thumb4"))


def hand(seed=0):
    """Return joints (1, 21, 2) inside a crop of 128 px and (1, 21, 3) in camera-space mm."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(0, 128, (1, 21, 2)).astype(np.float32),
        rng.uniform((-100, -100, 500), (100, 100, 700), (1, 21, 3)).astype(np.float32),
    )


def published_targets(points, cam):
    """Return heatmaps, locations and deltas as the public PyTorch port makes them, wrist first, joint by joint."""
    heatmaps = np.zeros((21, 32, 32))
    for joint, (x, y) in enumerate(points):
        column, row = int((x + 0.5) / 4), int((y + 0.5) / 4)
        for i in range(32):
            for j in range(32):
                if abs(i - row) <= 3 and abs(j - column) <= 3:
                    heatmaps[joint, i, j] = math.exp(-((i - row) ** 2 + (j - column) ** 2) / 2)
    locations = (cam - cam[9]) / math.dist(cam[0], cam[9])  # middle-finger knuckle; bone from the wrist to it
    parents = [0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
    deltas = np.array(
        [
            (cam[joint] - cam[parent]) / math.dist(cam[joint], cam[parent]) if joint else [0, 0, 0]
            for joint, parent in enumerate(parents)
        ]
    )
    return heatmaps, locations, deltas


@pytest.mark.parametrize("seed", range(3))
def test_targets_are_the_published_ones_in_our_order(seed):
    points, cam = hand(seed)  # canonical order
    from_canonical = np.argsort(FROM_DEXYCB)
    heatmaps, locations, deltas = published_targets(points[0, from_canonical], cam[0, from_canonical])
    targets = DetNetCodec().encode(points, np.ones((1, 21)), cam)
    np.testing.assert_allclose(targets["heatmaps"], heatmaps[list(FROM_DEXYCB)], atol=1e-6)
    np.testing.assert_allclose(targets["locations"][0], locations[list(FROM_DEXYCB)], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets["deltas"][0], deltas[list(FROM_DEXYCB)], rtol=1e-4, atol=1e-5)
    assert {value.dtype for value in targets.values()} == {np.dtype("float32")}
    for name in ("keypoint_weights", "location_weights", "delta_weights"):
        np.testing.assert_array_equal(targets[name], np.ones((1, 21)), err_msg=name)


def test_unit_and_origin_by_hand():
    points, cam = hand()
    cam[0, [WRIST, MIDDLE1, MIDDLE2]] = [[0, 80, 600], [0, 0, 600], [0, -24, 632]]
    targets = DetNetCodec().encode(points, None, cam)
    np.testing.assert_allclose(
        targets["locations"][0, [WRIST, MIDDLE1, MIDDLE2]], [[0, 1, 0], [0, 0, 0], [0, -0.3, 0.4]], atol=1e-6
    )
    np.testing.assert_allclose(
        targets["deltas"][0, [WRIST, MIDDLE1, MIDDLE2]], [[0, 0, 0], [0, -1, 0], [0, -0.6, 0.8]], atol=1e-6
    )
    assert DetNetCodec().bone_length(cam) == pytest.approx(80)


@pytest.mark.parametrize(
    ("point", "cell"),
    [((0, 0), (0, 0)), ((3, 3.4), (0, 0)), ((3.5, 4), (1, 1)), ((-0.5, 127.4), (0, 31)), ((70, 13), (17, 3))],
)
def test_peak_is_in_the_cell_of_the_joint(point, cell):
    points, cam = hand()
    points[0, 0] = point
    heatmap = DetNetCodec().encode(points, None, cam)["heatmaps"][0]
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert (column, row) == cell
    assert heatmap.max() == 1


@pytest.mark.parametrize(
    ("point", "weight"),
    [
        ((64, 64), 1),
        ((-12.5, 64), 1),  # cell -3: the Gaussian's border is in column 0
        ((-12.6, 64), 0),
        ((64, 139.4), 1),  # cell 34
        ((64, 139.5), 0),
        ((np.nan, 64), 0),
    ],
)
def test_joints_count_if_their_gaussian_reaches_into_the_crop(point, weight):
    points, cam = hand()
    points[0, THUMB4] = point
    targets = DetNetCodec().encode(points, None, cam)
    for name in ("keypoint_weights", "location_weights", "delta_weights"):
        assert targets[name][0, THUMB4] == weight, name
        assert targets[name].sum() == 20 + weight, name
    assert (targets["heatmaps"][THUMB4].sum() > 0) == bool(weight)
    assert all(np.isfinite(value).all() for value in targets.values())


@pytest.mark.parametrize(("sigma", "radius"), [(1.0, 3), (2.0, 6), (1.5, 4), (0.5, 1)])
def test_a_gaussian_ends_at_three_sigmas(sigma, radius):
    points, cam = hand()
    points[0, 0] = 64  # cell 16
    row = DetNetCodec(sigma=sigma).encode(points, None, cam)["heatmaps"][0, 16]
    assert np.flatnonzero(row).tolist() == list(range(16 - radius, 16 + radius + 1))
    np.testing.assert_allclose(row[16 + radius], math.exp(-(radius**2) / (2 * sigma**2)), rtol=1e-6)


def test_joints_that_are_not_annotated_do_not_count():
    points, cam = hand()
    visible = np.ones((1, 21), np.float32)
    visible[0, MIDDLE2] = 0
    points[0, MIDDLE2], cam[0, MIDDLE2] = 0, 0
    targets = DetNetCodec().encode(points, visible, cam)
    assert np.flatnonzero(targets["keypoint_weights"][0] == 0).tolist() == [MIDDLE2]
    assert np.flatnonzero(targets["location_weights"][0] == 0).tolist() == [MIDDLE2]
    child = HAND_JOINTS.index("middle3")  # has no direction without its parent
    assert np.flatnonzero(targets["delta_weights"][0] == 0).tolist() == [child, MIDDLE2]
    assert not targets["heatmaps"][MIDDLE2].any()
    assert not targets["deltas"][0, [child, MIDDLE2]].any()


@pytest.mark.parametrize("missing", [WRIST, MIDDLE1])
def test_without_root_or_bone_there_are_no_locations(missing):
    points, cam = hand()
    visible = np.ones((1, 21), np.float32)
    visible[0, missing] = 0
    targets = DetNetCodec().encode(points, visible, cam)
    assert not targets["location_weights"].any()
    assert not targets["locations"].any()
    assert targets["keypoint_weights"].sum() == 20


def test_a_bone_without_length_gives_no_locations():
    points, cam = hand()
    cam[0, WRIST] = cam[0, MIDDLE1]
    targets = DetNetCodec().encode(points, None, cam)
    assert not targets["location_weights"].any()
    assert all(np.isfinite(value).all() for value in targets.values())


def test_decode_reads_out_at_the_peaks_by_hand():
    heatmaps, maps = np.zeros((21, 32, 32), np.float32), np.zeros((63, 32, 32), np.float32)
    row, column = 3, 17
    heatmaps[5, row, column], heatmaps[5, row, column + 1] = 0.75, 0.5
    maps[15:18, row, column] = 0.1, 0.2, 0.3
    maps[15:18, column, row] = 9  # rows and columns swapped
    points, scores, locations = DetNetCodec().decode(heatmaps, maps)
    assert points[0, 5].tolist() == [17 * 4 + 1.5, 3 * 4 + 1.5]  # centers of 4 pixels whose centers are whole numbers
    assert scores[0, 5] == 0.75
    np.testing.assert_allclose(locations[0, 5], [0.1, 0.2, 0.3])
    assert (points.shape, scores.shape, locations.shape) == ((1, 21, 2), (1, 21), (1, 21, 3))


@pytest.mark.parametrize(
    "codec",
    [
        DetNetCodec(),
        DetNetCodec((256, 192), (64, 48), sigma=1.5),
        DetNetCodec((256, 256), (32, 32)),
        KEYPOINT_CODECS.build({"type": "DetNetCodec", "root": "wrist", "bone": ("index1", "index2")}),
        DetNetCodec(root="palm", bone=("wrist", "middle_mid"), num_joints=14),
    ],
)
def test_round_trip(codec):
    rng = np.random.default_rng(0)
    width, height = codec.map_size
    cells = np.stack([rng.integers(0, size, codec.num_joints) for size in codec.map_size], axis=-1)
    points = ((cells + 0.5) * codec.stride - 0.5)[None]
    cam = hand()[1][:, : codec.num_joints]
    targets = codec.encode(points, None, cam)
    maps = np.broadcast_to(targets["locations"].reshape(-1, 1, 1), (3 * codec.num_joints, height, width))
    decoded, scores, locations = codec.decode(targets["heatmaps"], maps)
    np.testing.assert_allclose(decoded, points, atol=1e-4)
    np.testing.assert_allclose(scores, 1)
    in_mm = locations * codec.bone_length(cam)[:, None, None] + cam[:, codec.root]
    np.testing.assert_allclose(in_mm, cam, atol=1e-3)


def test_input_is_left_alone():
    points, cam = hand()
    before = points.copy(), cam.copy()
    DetNetCodec().encode(points, None, cam)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(cam, before[1])


@pytest.mark.parametrize("arguments", [{"root": "palm"}, {"bone": ("wrist", "wrist")}, {"bone": ("wrist", "carpus")}])
def test_unknown_joints_are_refused(arguments):
    with pytest.raises(ValueError, match="root, bone: expected a joint and two different joints of thumb4"):
        DetNetCodec(**arguments)


def test_two_hands_are_refused():
    with pytest.raises(ValueError, match="num_joints: expected the joints of one hand, got 42"):
        DetNetCodec(num_joints=42)


def test_wrong_shapes_are_refused():
    points, cam = hand()
    with pytest.raises(ValueError, match=r"got \(1, 42, 2\) and \(1, 21, 3\) \(see ToSingleHand\)"):
        DetNetCodec().encode(np.zeros((1, 42, 2)), None, cam)
    with pytest.raises(ValueError, match=r"got \(1, 21, 2\) and None"):
        DetNetCodec().encode(points)
    with pytest.raises(ValueError, match=r"expected shapes \(21, 32, 32\) and \(63, 32, 32\), got \(21, 16, 16\)"):
        DetNetCodec().decode(np.zeros((21, 16, 16)), np.zeros((63, 16, 16)))
    for shapes in (((21, 16, 16), (63, 32, 32)), ((21, 32, 32), (63, 16, 16)), ((21, 32, 32), (21, 32, 32))):
        with pytest.raises(ValueError, match="heatmaps, location_maps: expected shapes"):
            DetNetCodec().decode(*map(np.zeros, shapes))


def test_everything_that_losses_and_metrics_read_gets_packed():
    transforms = pytest.importorskip("mmpose.datasets.transforms")
    points, cam = hand()
    results = {
        "img": np.zeros((8, 8, 3), np.uint8),
        "keypoints": points,
        "keypoints_visible": np.ones((1, 21), np.float32),
        "keypoints_cam": cam,
        "bbox": np.array([[0, 0, 8, 8]]),
        "bbox_score": np.ones(1),
    }
    results = transforms.GenerateTarget(encoder={"type": "DetNetCodec"}).transform(results)
    sample = transforms.PackPoseInputs(meta_keys=()).transform(results)["data_samples"]
    assert set(sample.gt_instances.keys()) == {
        "bboxes",
        "bbox_scores",
        "keypoints",
        "keypoints_cam",
        "keypoints_visible",
    }
    shapes = {name: tuple(label.shape) for name, label in sample.gt_instance_labels.items()}
    assert shapes == {
        "keypoint_weights": (1, 21),
        "locations": (1, 21, 3),
        "location_weights": (1, 21),
        "deltas": (1, 21, 3),
        "delta_weights": (1, 21),
    }
    assert tuple(sample.gt_fields.heatmaps.shape) == (21, 32, 32)


def test_a_stand_in_in_space_is_not_learnt():
    """The points in the image are, in the heatmaps."""
    points, cam = hand()
    known = DetNetCodec().encode(points, None, cam, np.array([0.0, 1.0]))
    assert known["location_weights"].sum() == 21
    unknown = DetNetCodec().encode(points, None, cam, np.array([0.0, 0.0]))
    np.testing.assert_array_equal(unknown["heatmaps"], known["heatmaps"])
    assert unknown["keypoint_weights"].sum() == 21
    assert unknown["location_weights"].sum() == unknown["delta_weights"].sum() == 0
