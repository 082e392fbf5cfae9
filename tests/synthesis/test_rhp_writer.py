"""RHD's layout, read with the standard library only and projected with formulas written out here."""

import hashlib
import json
import pickle
import pickletools
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfmamba.synthesis.output import LIST, NOTE
from dfmamba.synthesis.rhp import encode_depth, prominent_side, write_rhp

pytestmark = pytest.mark.slow

# RHD's order, as its README tells: the left wrist, then each finger from the tip to the palm; then the right hand.
LEFT_WRIST, RIGHT_WRIST = 0, 21
REAL = Path(__file__).parents[3] / "shared" / "data" / "rhd" / "test_rhd.json"
SPLITS = [("train", "training"), ("test", "evaluation")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rhp")
    return folder, write_rhp(folder, {"train": 2, "test": 12}, seed=0)


def frames(folder, split="evaluation"):
    with (folder / split / f"anno_{split}.pickle").open("rb") as file:
        return pickle.load(file)


def image(folder, kind, number, split="evaluation"):
    return cv2.imread(str(folder / split / kind / f"{number:05d}.png"), cv2.IMREAD_UNCHANGED)


def depth_m(folder, number):
    """Decode as the set's own viewer does."""
    encoded = image(folder, "depth", number)[..., ::-1].astype(float)
    return (encoded[..., 0] * 256 + encoded[..., 1]) / 65535 * 5


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def visible_joints(folder):
    """Yield (image number, joint in RHD's order, x y z in m, column, row) of every visible joint."""
    for number, frame in frames(folder).items():
        for joint in np.flatnonzero(frame["uv_vis"][:, 2] == 1):
            column, row = np.rint(frame["uv_vis"][joint, :2]).astype(int)
            yield number, joint, frame["xyz"][joint], column, row


def test_tree(dataset):
    folder, counts = dataset
    assert sum(counts.values()) == 14
    for (split, official), count in zip(SPLITS, (2, 12), strict=True):
        assert sum(n for (name, _), n in counts.items() if name == split) == count
        for kind in ("color", "depth", "mask"):
            assert sorted(path.name for path in (folder / official / kind).iterdir()) == [
                f"{i:05d}.png" for i in range(count)
            ]
        assert list(frames(folder, official)) == list(range(count))
    assert "SYNTHETIC" in (folder / NOTE).read_text()
    assert "rhp --out DIR --train 2 --test 12 --seed 0" in (folder / NOTE).read_text()


def test_images(dataset):
    for number in range(12):
        colour, depth, mask = (image(dataset[0], kind, number) for kind in ("color", "depth", "mask"))
        assert colour.shape == depth.shape == (320, 320, 3)
        assert mask.shape == (320, 320)
        assert colour.dtype == depth.dtype == mask.dtype == np.uint8
        assert mask.max() <= 33
        assert (depth[..., 0] == 0).all()
        assert ((depth_m(dataset[0], number) == 5.0) == (mask == 0)).all()  # all that is seen is nearer than 5 m


def test_pickle(dataset):
    for frame in frames(dataset[0]).values():
        assert set(frame) == {"xyz", "uv_vis", "K"}
        assert frame["xyz"].shape == frame["uv_vis"].shape == (42, 3)
        focal = frame["K"][0, 0]
        assert 260 <= focal <= 310
        np.testing.assert_allclose(frame["K"], [[focal, 0, 160], [0, focal, 160], [0, 0, 1]])
        assert set(frame["uv_vis"][:, 2].tolist()) <= {0.0, 1.0}
        for wrist in (LEFT_WRIST, RIGHT_WRIST):
            hand = frame["xyz"][wrist : wrist + 21]
            # In mm it would be 25 to 110 from the wrist to the base of every finger.
            reach = np.linalg.norm(hand[4::4] - hand[0], axis=1)
            assert ((reach > 0.025) & (reach < 0.11)).all()
            bones = np.linalg.norm(np.diff(hand[1:].reshape(5, 4, 3), axis=1), axis=2)
            assert ((bones > 0.012) & (bones < 0.055)).all()


def test_pickle_names_the_modules_of_the_real_files(dataset):
    content = (dataset[0] / "training" / "anno_training.pickle").read_bytes()
    names = {argument for opcode, argument, _ in pickletools.genops(content) if opcode.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}


def test_joints_project_to_their_pixels(dataset):
    for frame in frames(dataset[0]).values():
        for (x, y, z), (u, v, _) in zip(frame["xyz"].astype(float), frame["uv_vis"].astype(float), strict=True):
            if z > 0.1:
                focal, center = frame["K"][0, 0], frame["K"][0, 2]
                assert u == pytest.approx(focal * x / z + center, abs=1e-2)
                assert v == pytest.approx(focal * y / z + center, abs=1e-2)


def test_visible_joints_lie_in_the_image_on_their_hand_and_just_below_the_surface(dataset):
    below = []
    for number, joint, (_, _, z), column, row in visible_joints(dataset[0]):
        assert 0 <= column < 320
        assert 0 <= row < 320
        left, finger = joint < 21, (joint % 21 - 1) // 4
        first = 2 if left else 18
        own = {first + 15, 1} if joint % 21 == 0 else {first + 15, *range(first + 3 * finger, first + 3 * finger + 3)}
        assert image(dataset[0], "mask", number)[row, column] in own
        below.append(z - depth_m(dataset[0], number)[row, column])
    assert len(below) > 150
    assert min(below) > 0
    assert max(below) < 0.03 + 1e-4
    assert np.median(below) < 0.015


def test_fingertips_lie_on_the_part_next_to_the_tip(dataset):
    tips = 0
    for number, joint, _, column, row in visible_joints(dataset[0]):
        if joint % 21 % 4 == 1:
            finger = (joint % 21 - 1) // 4
            assert image(dataset[0], "mask", number)[row, column] == (2 if joint < 21 else 18) + 3 * finger
            tips += 1
    assert tips > 30


def test_a_hidden_joint_is_outside_or_behind_something(dataset):
    outside = behind = 0
    for number, frame in frames(dataset[0]).items():
        depth = depth_m(dataset[0], number)
        for joint in np.flatnonzero(frame["uv_vis"][:, 2] == 0):
            column, row = np.rint(frame["uv_vis"][joint, :2]).astype(int)
            if frame["xyz"][joint, 2] <= 0 or not (0 <= column < 320 and 0 <= row < 320):
                outside += 1
            else:
                behind += 1
                near = depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]  # it may lie at an edge
                assert near.min() < frame["xyz"][joint, 2] + 0.01
    assert outside > 80
    assert behind > 15


def test_odd_records(dataset):
    seen = {
        number: [frame["uv_vis"][wrist : wrist + 21, 2].sum() for wrist in (LEFT_WRIST, RIGHT_WRIST)]
        for number, frame in frames(dataset[0]).items()
    }
    assert [number for number, counts in seen.items() if max(counts) == 0] == [11]  # no joint at all
    assert sum(3 <= max(counts) <= 11 for counts in seen.values()) >= 2  # cut by the border
    assert sum(min(counts) == 0 for counts in seen.values()) >= 4  # one hand only
    assert sum(min(counts) > 3 for counts in seen.values()) >= 1  # both


@pytest.mark.parametrize(("split", "official"), SPLITS)
def test_internet_json_says_the_same_as_pickle_and_mask(dataset, split, official):
    folder, counts = dataset
    content = json.loads((folder / f"RHD_{official}.json").read_text())
    pickled = frames(folder, official)
    assert [record["id"] for record in content["images"]] == list(pickled)
    for record in content["images"]:
        matrix = pickled[record["id"]]["K"]
        assert record == {
            "id": record["id"],
            "file_name": f"{record['id']:05d}.png",
            "width": 320,
            "height": 320,
            "cam_param": {"focal": [matrix[0, 0], matrix[1, 1]], "princpt": [160.0, 160.0]},
        }
    for hand in content["annotations"]:
        assert set(hand) == {"id", "image_id", "bbox", "joint_img", "joint_cam", "joint_valid", "hand_type"}
        assert hand["id"] == hand["image_id"]
        mask = image(folder, "mask", hand["id"], official)
        left, right = ((mask >= 2) & (mask <= 17)).sum(), (mask >= 18).sum()
        assert hand["hand_type"] == ("left" if left > right else "right")
        wrist = LEFT_WRIST if hand["hand_type"] == "left" else RIGHT_WRIST
        frame = {key: value[wrist : wrist + 21] for key, value in pickled[hand["id"]].items() if key != "K"}
        np.testing.assert_allclose(hand["joint_cam"], frame["xyz"] * 1000, rtol=1e-6)
        np.testing.assert_array_equal(hand["joint_img"], frame["uv_vis"][:, :2])
        np.testing.assert_array_equal(hand["joint_valid"], frame["uv_vis"][:, 2])
        points = frame["uv_vis"][frame["uv_vis"][:, 2] == 1, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        np.testing.assert_allclose(hand["bbox"], [*(low - 0.1 * (high - low)), *(1.2 * (high - low))], atol=1e-3)
    found = Counter((split, hand["hand_type"]) for hand in content["annotations"])
    assert found == {key: n for key, n in counts.items() if key[0] == split and key[1] != "hidden"}
    assert len(content["annotations"]) == len(pickled) - counts[split, "hidden"]


def test_mmpose_json_loads_in_mmpose(dataset):
    from mmpose.datasets import Rhd2DDataset

    folder = dataset[0]
    records = Rhd2DDataset(
        ann_file="annotations/rhd_test.json",
        data_root=str(folder),
        data_prefix={"img": ""},
        test_mode=True,
        pipeline=[],
    )
    content = json.loads((folder / "RHD_evaluation.json").read_text())
    assert len(records) == len(content["annotations"])
    for number, hand in enumerate(content["annotations"]):
        record = records.get_data_info(number)
        assert cv2.imread(record["img_path"]).shape == (320, 320, 3)
        np.testing.assert_allclose(record["keypoints"][0], hand["joint_img"], rtol=1e-6)
        np.testing.assert_array_equal(record["keypoints_visible"][0], hand["joint_valid"])


@pytest.mark.skipif(not REAL.is_file(), reason="needs the three real samples in shared/data/rhd")
def test_mmpose_json_is_like_the_real_one(dataset):
    """The same keys, and the same rules for box, area, camera, unit and order."""
    real = json.loads(REAL.read_text())
    ours = json.loads((dataset[0] / "annotations" / "rhd_test.json").read_text())
    assert set(ours) >= {"info", "licenses", "images", "annotations", "categories"} == set(real)
    for key in ("images", "annotations"):
        assert all(set(record) == set(real[key][0]) for record in ours[key])
    for content in (real, ours):
        images = {image["id"]: image for image in content["images"]}
        for hand in content["annotations"]:
            camera = images[hand["image_id"]]["cam_param"]
            assert 260 <= camera["focal"][0] == camera["focal"][1] <= 310
            assert camera["princpt"] == [160, 160]
            points, joints = np.array(hand["keypoints"]), np.array(hand["joint_cam"])
            expected = camera["focal"][0] * joints[:, :2] / joints[:, 2:] + 160
            np.testing.assert_allclose(points[:, :2], expected, atol=0.1)  # the real ones have four digits
            seen = points[points[:, 2] == 1, :2]
            size = np.ptp(seen, axis=0)
            np.testing.assert_allclose(hand["bbox"], [*(seen.min(axis=0) - 0.1 * size), *(1.2 * size)], rtol=1e-4)
            assert hand["area"] == pytest.approx(hand["bbox"][2] * hand["bbox"][3])
            assert 300 < joints[0, 2] < 1100
            to_bases = np.linalg.norm(joints[4::4] - joints[0], axis=1)  # the fourth of a finger is next to the palm
            assert ((to_bases > 25) & (to_bases < 110)).all()


def test_skeleton_file(dataset):
    lines = (dataset[0] / "skeleton.txt").read_text().split("\n")
    assert len(lines) == 43
    assert lines[1:6] == ["l_wrist 0 -1", "l_thumb4 1 2", "l_thumb3 2 3", "l_thumb2 3 4", "l_thumb1 4 0"]
    assert lines[22:24] == ["r_wrist 21 -1", "r_thumb4 22 23"]
    assert lines[42] == "r_pinky1 41 21"


def test_depth_code():
    depth = np.array([[0.0, 1000.0, 5000.0, 9000.0, np.inf]])
    # By hand: 1 m is 13107 of 65535 steps, 51 * 256 + 51.
    assert encode_depth(depth)[0].tolist() == [[0, 0, 0], [0, 51, 51], [0, 255, 255], [0, 255, 255], [0, 255, 255]]


@pytest.mark.parametrize(
    ("classes", "side"),
    [([2, 17, 1, 0], 1), ([18, 33, 1, 1], 0), ([2, 18, 1, 0], 0), ([1, 1, 0, 0], 0), ([17, 2, 33, 1], 1)],
)
def test_prominent_side(classes, side):
    assert prominent_side(np.array([classes])) == side


def test_same_seed_same_bytes_with_one_and_two_workers(tmp_path):
    for workers in (1, 2):
        write_rhp(tmp_path / str(workers), {"train": 1, "test": 2}, seed=5, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) == 3 * 3 + 2 * 3 + 2
    assert one == two
    assert write_rhp(tmp_path / "1", {"train": 1, "test": 2}, seed=5) is None


def test_another_set_replaces_it(tmp_path):
    assert write_rhp(tmp_path, {"train": 1}, seed=1) is not None
    before = digests(tmp_path)
    assert write_rhp(tmp_path, {"test": 1}, seed=2) is not None
    after = digests(tmp_path)
    assert len(after) == 3 + 3 + 2
    assert not (tmp_path / "training").exists()
    assert set(after.values()) & set(before.values()) == {after["skeleton.txt"]}


def test_there_is_no_val_split(tmp_path):
    with pytest.raises(ValueError, match="train, test"):
        write_rhp(tmp_path / "new", {"val": 1}, 0)
    assert not (tmp_path / "new").exists()


def test_view_spread_keeps_the_camera_in_front(tmp_path):
    write_rhp(tmp_path, {"test": 2}, seed=0, view_spread_deg=10)
    assert "--view-spread 10" in (tmp_path / NOTE).read_text()
    for frame in frames(tmp_path).values():
        # Who faces a person sees the left hand on the right.
        assert frame["xyz"][LEFT_WRIST, 0] > frame["xyz"][RIGHT_WRIST, 0] + 0.05
