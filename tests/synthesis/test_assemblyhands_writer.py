"""The official layout, read with the standard library only and projected with formulas written out here."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from dfmamba.synthesis import assemblyhands
from dfmamba.synthesis.assemblyhands import hand_box, plan_split, write_assemblyhands
from dfmamba.synthesis.assemblyhands_headset import HEADSETS
from dfmamba.synthesis.output import LIST, NOTE

pytestmark = pytest.mark.slow

WRISTS = {"right": 20, "left": 41}
BLOCKS = {"right": slice(0, 21), "left": slice(21, 42)}
SUFFIX = "_mono10bit"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eight frames for training, so that each kind of odd record is there, and one for testing."""
    folder = tmp_path_factory.mktemp("assemblyhands")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemblyhands, "VIEWS_PER_FRAME", 2)
        patch.setattr(assemblyhands, "MIN_IMAGES_FOR_ODD", 16)
        counts = write_assemblyhands(folder, {"train": 16, "test": 2}, seed=0)
    return folder, counts


def content(folder, split, kind):
    return json.loads((folder / "annotations" / split / f"assemblyhands_{split}_{kind}_v1-1.json").read_text())


def records(folder, split="train"):
    """Yield (image, annotation, K, [R|t], joints of the frame)."""
    data = content(folder, split, "ego_data")
    calibration = content(folder, split, "ego_calib")["calibration"]
    joints = content(folder, split, "joint_3d")["annotations"]
    for image, annotation in zip(data["images"], data["annotations"], strict=True):
        cameras, frame = calibration[image["seq_name"]], f"{image['frame_idx']:06d}"
        name = image["camera"] + SUFFIX
        yield (
            image,
            annotation,
            np.array(cameras["intrinsics"][name]),
            np.array(cameras["extrinsics"][frame][name]),
            joints[image["seq_name"]][frame],
        )


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def test_tree_and_image_records(dataset):
    folder, counts = dataset
    assert sum(counts.values()) == len(list(folder.rglob("*.jpg"))) == 18
    assert {kind for _, kind in counts} == {"right", "left", "both"}
    assert "SYNTHETIC" in (folder / NOTE).read_text()
    for split in ("train", "test"):
        sequences, ids = {}, set()
        for image, annotation, *_ in records(folder, split):
            assert set(image) == {"id", "file_name", "width", "height", "seq_name", "camera", "frame_idx", "timestamp"}
            assert image["file_name"] == (
                f"ego_images_rectified/{split}/{image['seq_name']}/{image['camera']}{SUFFIX}/"
                f"{image['frame_idx']:06d}.jpg"
            )
            picture = cv2.imread(str(folder / "images" / image["file_name"]), cv2.IMREAD_UNCHANGED)
            assert picture.shape == (480, 636, 3) == (image["height"], image["width"], 3)
            assert np.abs(picture.astype(int) - picture[..., :1]).max() < 12  # grey, but for JPEG's colours
            assert picture.std() > 5
            assert "synthetic" in image["seq_name"]
            assert annotation["image_id"] == image["id"]
            assert image["frame_idx"] % 2 == 0
            ids.add(image["id"])
            sequences.setdefault(image["seq_name"], set()).add(image["camera"])
        assert len(ids) == sum(count for (name, _), count in counts.items() if name == split)
        if split == "train":
            assert len(sequences) == 2
            for cameras, names in zip(sequences.values(), (HEADSETS["B"], HEADSETS["A"]), strict=True):
                assert cameras <= set(names)


def test_calibration_belongs_to_frames(dataset):
    calibration = content(dataset[0], "train", "ego_calib")["calibration"]
    for cameras in calibration.values():
        assert len(cameras["intrinsics"]) == 4
        assert len(cameras["extrinsics"]) == 4  # frames
        places = []
        for frame, matrices in cameras["extrinsics"].items():
            assert len(frame) == 6
            assert set(matrices) == set(cameras["intrinsics"])
            centers = {}
            for name, matrix in matrices.items():
                rotation, translation = np.array(matrix)[:, :3], np.array(matrix)[:, 3]
                np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
                assert np.linalg.det(rotation) == pytest.approx(1)
                centers[name] = -rotation.T @ translation
            places.append(centers)
        names = list(cameras["intrinsics"])
        spans = [[np.linalg.norm(centers[a] - centers[b]) for a in names for b in names] for centers in places]
        assert np.ptp(np.array(spans), axis=0).max() < 1e-6  # the cameras are fixed to the headset
        assert np.ptp([centers[names[0]] for centers in places], axis=0).max() > 1  # which moves
        for matrix in cameras["intrinsics"].values():
            assert matrix[0][1] == matrix[1][0] == 0
            assert matrix[2] == [0, 0, 1]


def test_keypoints_are_projected_joints_and_boxes_hold_them(dataset):
    border = 0
    for _, annotation, K, matrix, joints in records(dataset[0]):
        world, flags = np.array(joints["world_coord"]), np.array(annotation["joint_valid"])
        assert world.shape == (42, 3)
        assert flags.shape == (42,)
        for joint, (u, v, confidence) in enumerate(annotation["keypoints"]):
            assert confidence == flags[joint]
            if flags[joint]:
                x, y, z = matrix[:, :3] @ world[joint] + matrix[:, 3]
                assert 60 < z < 1000
                assert u == pytest.approx(K[0, 0] * x / z + K[0, 2], abs=1e-2)
                assert v == pytest.approx(K[1, 1] * y / z + K[1, 2], abs=1e-2)
        assert set(annotation["bbox"]) == {"right", "left"}
        for side, box in annotation["bbox"].items():
            pixels = np.array(annotation["keypoints"])[BLOCKS[side]][flags[BLOCKS[side]] == 1, :2]
            if box is None:
                assert len(pixels) == 0
                continue
            x0, y0, x1, y1 = box
            assert 0 <= x0 < x1 <= 635
            assert 0 <= y0 < y1 <= 479
            inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] <= 635) & (pixels[:, 1] <= 479)
            assert ((pixels[inside] >= [x0, y0]) & (pixels[inside] <= [x1, y1])).all()
            border += x0 == 0 or y0 == 0 or x1 == 635 or y1 == 479
    assert border > 0


def test_box_worked_out_by_hand():
    """Joints from (100, 200) to (200, 260): 1.2 times 100 x 60 about (150, 230); cut at the border; 9 inside: none."""
    pixels = np.tile([150.0, 230.0], (21, 1))
    pixels[:2] = [[100, 200], [200, 260]]
    near, far = np.full(21, 50.0), np.full(21, 500.0)
    np.testing.assert_allclose(hand_box(pixels, far), [90, 194, 210, 266])
    np.testing.assert_allclose(hand_box(pixels - [95, 0], far), [0, 194, 115, 266])
    assert hand_box(pixels, near) is None
    pixels[9:] = [-5, 230]
    assert hand_box(pixels, far) is None


def test_views_of_a_frame_agree_on_the_world(dataset):
    """Rays through the same joint's pixels in two cameras meet where `world_coord` says."""
    views = {}
    for image, annotation, K, matrix, joints in records(dataset[0]):
        views.setdefault((image["seq_name"], image["frame_idx"]), []).append((annotation, K, matrix, joints))
    assert all(len(both) == 2 for both in views.values())
    checked = 0
    for both in views.values():
        for joint in range(42):
            rows, right = [], []
            for annotation, K, matrix, _ in both:
                u, v, confidence = annotation["keypoints"][joint]
                if confidence:
                    P = K @ matrix
                    rows += [u * P[2, :3] - P[0, :3], v * P[2, :3] - P[1, :3]]
                    right += [P[0, 3] - u * P[2, 3], P[1, 3] - v * P[2, 3]]
            if len(rows) == 4:
                found = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
                np.testing.assert_allclose(found, both[0][3]["world_coord"][joint], atol=0.05)
                checked += 1
    assert checked > 100


def test_odd_records(dataset):
    few = no_wrist = some = one_hand = 0
    for _, annotation, _, _, joints in records(dataset[0]):
        valid = np.array(joints["joint_valid"])
        assert valid.shape == (42, 1)
        world = np.array(joints["world_coord"])
        assert (world[valid[:, 0] == 0] == 1).all()
        assert (np.abs(world[valid[:, 0] == 1] - 1) > 1e-3).any(axis=1).all()
        for side, box in annotation["bbox"].items():
            flags = np.array(annotation["joint_valid"])[BLOCKS[side]]
            assert (flags <= valid[BLOCKS[side], 0]).all()
            if box is not None:
                few += flags.sum() < 10
                no_wrist += flags[20] == 0 and flags.sum() > 10
                some += flags[20] == 1 and 10 < flags.sum() < 21
        one_hand += None in annotation["bbox"].values()
    assert min(few, no_wrist, some, one_hand) > 0


def test_hands_are_right_and_left(dataset):
    """In space, the thumb, the little finger, the palm's inside and the way to the fingers form a handed frame."""
    for *_, joints in records(dataset[0]):
        world, valid = np.array(joints["world_coord"]), np.array(joints["joint_valid"])[:, 0]
        for side, block in BLOCKS.items():
            if valid[block].all():
                hand = world[block]
                assert 75 < np.linalg.norm(hand[11] - hand[20]) < 95  # middle knuckle to wrist, in mm
                curl = hand[[4, 8, 12, 16]].mean(axis=0) - hand[[7, 11, 15, 19]].mean(axis=0)
                handed = np.cross(hand[7] - hand[19], hand[11] - hand[20]) @ curl
                if abs(handed) > 5e4:  # not for straight fingers
                    assert (handed > 0) == (side == "right")


def test_the_gt_of_the_test_split_is_withheld(dataset):
    for _, annotation, _, _, joints in records(dataset[0], "test"):
        assert (np.array(joints["world_coord"]) == 1).all()
        assert not np.array(annotation["keypoints"]).any()
        assert any(box is not None for box in annotation["bbox"].values())


def test_skeleton_file(dataset):
    lines = (dataset[0] / "annotations" / "skeleton.txt").read_text().split("\n")
    assert len(lines) == 43
    assert lines[1] == "r_thumb4 0 1"
    assert lines[42] == "l_wrist 41 -1"


@pytest.mark.parametrize(
    ("split", "images", "sequences"), [("train", 2000, 14), ("val", 2000, 2), ("test", 2000, 4), ("train", 7, 2)]
)
def test_plan(tmp_path, split, images, sequences):
    frames = plan_split(tmp_path, 0, split, images, None)
    assert sum(frame.views for frame in frames) == images
    assert len({frame.sequence for frame in frames}) == sequences
    assert len({(frame.sequence, frame.frame_idx) for frame in frames}) == len(frames)


def test_same_seed_same_bytes_with_one_and_two_workers(tmp_path):
    for workers in (1, 2):
        write_assemblyhands(tmp_path / str(workers), {"train": 9, "val": 3}, seed=5, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) == 12 + 6 + 2
    assert one == two


def test_same_seed_same_bytes_and_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_assemblyhands(tmp_path / name, {"val": 1}, seed=seed, view_spread_deg=20)
    a, b, c = (list(digests(tmp_path / name).values()) for name in "abc")
    assert a == b
    assert len(set(a) & set(c)) == 1  # skeleton.txt
    assert write_assemblyhands(tmp_path / "a", {"val": 1}, seed=7, view_spread_deg=20) is None


@pytest.mark.parametrize(
    ("counts", "seed", "message"),
    [
        ({"testing": 8}, 0, "num_images"),
        ({}, 0, "num_images"),
        ({"val": -8}, 0, "num_images"),
        ({"val": 8}, -1, "seed"),
    ],
)
def test_wrong_arguments(tmp_path, counts, seed, message):
    with pytest.raises(ValueError, match=message):
        write_assemblyhands(tmp_path / "new", counts, seed)
    assert not (tmp_path / "new").exists()
