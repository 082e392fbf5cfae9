"""The official layout, read with the standard library only and projected with formulas written out here."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from dfmamba.synthesis.interhand26m import write_interhand26m
from dfmamba.synthesis.output import LIST, NOTE

pytestmark = pytest.mark.slow

ROOTS = (20, 41)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interhand26m")
    counts = write_interhand26m(folder, {"train": 16, "test": 32}, seed=0)
    return folder, counts


def annotations(folder, split):
    files = {
        kind: folder / "annotations" / split / f"InterHand2.6M_{split}_{kind}.json"
        for kind in ("data", "camera", "joint_3d")
    }
    return {kind: json.loads(file.read_text()) for kind, file in files.items()}


def records(folder, split):
    """Yield (image, annotation, cameras of its capture, joints of its frame)."""
    content = annotations(folder, split)
    for image, annotation in zip(content["data"]["images"], content["data"]["annotations"], strict=True):
        capture = str(image["capture"])
        yield (image, annotation, content["camera"][capture], content["joint_3d"][capture][str(image["frame_idx"])])


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def test_counts(dataset):
    folder, counts = dataset
    assert counts == {
        ("train", "right"): 4,
        ("train", "left"): 4,
        ("train", "interacting"): 8,
        ("test", "right"): 8,
        ("test", "left"): 8,
        ("test", "interacting"): 16,
    }
    assert len(list(folder.rglob("*.jpg"))) == 48


@pytest.mark.parametrize("split", ["train", "test"])
def test_image_records(dataset, split):
    folder = dataset[0]
    sizes, captures, cameras, ids = set(), set(), {}, set()
    for image, annotation, _, _ in records(folder, split):
        assert set(image) == {
            "id",
            "file_name",
            "width",
            "height",
            "capture",
            "subject",
            "seq_name",
            "camera",
            "frame_idx",
        }
        assert image["file_name"] == (
            f"Capture{image['capture']}/{image['seq_name']}/cam{image['camera']}/image{image['frame_idx']}.jpg"
        )
        assert "_synthetic_" in image["seq_name"]
        picture = cv2.imread(str(folder / "images" / split / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3)
        assert picture.std() > 5
        assert annotation["image_id"] == image["id"]
        ids.add(image["id"])
        sizes.add((image["width"], image["height"]))
        captures.add(image["capture"])
        cameras.setdefault((image["capture"], image["camera"]), set()).add((image["width"], image["height"]))
    assert sizes == {(334, 512), (512, 334)}
    assert len(captures) >= 2
    assert len(cameras) >= 4
    assert all(len(formats) == 1 for formats in cameras.values())
    assert len(ids) == len(annotations(folder, split)["data"]["images"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_boxes_are_the_projected_joints_enlarged(dataset, split):
    for image, annotation, camera, joints in records(dataset[0], split):
        name = image["camera"]
        center, rotation = np.array(camera["campos"][name]), np.array(camera["camrot"][name])
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        (fx, fy), (cx, cy) = camera["focal"][name], camera["princpt"][name]
        assert 1240 < fx < 1300
        assert 1240 < fy < 1300
        u, v = [], []
        for world, (valid,) in zip(joints["world_coord"], joints["joint_valid"], strict=True):
            if valid:
                x, y, z = rotation @ (np.array(world) - center)
                assert 800 < z < 1350
                u.append(fx * x / z + cx)
                v.append(fy * y / z + cy)
        width, height = max(u) - min(u), max(v) - min(v)
        expected = [
            (max(u) + min(u)) / 2 - 0.6 * width,
            (max(v) + min(v)) / 2 - 0.6 * height,
            1.2 * width,
            1.2 * height,
        ]
        np.testing.assert_allclose(annotation["bbox"], expected, atol=1e-2)


@pytest.mark.parametrize("split", ["train", "test"])
def test_validity(dataset, split):
    invalid_root = invalid_joint = invalid_type = False
    for _, annotation, _, joints in records(dataset[0], split):
        assert annotation["joint_valid"] == joints["joint_valid"]
        assert annotation["hand_type"] == joints["hand_type"]
        assert bool(annotation["hand_type_valid"]) == joints["hand_type_valid"]
        assert len(annotation["joint_valid"]) == 42
        assert all(flag in ([0], [1]) for flag in annotation["joint_valid"])
        valid = np.array(annotation["joint_valid"])[:, 0].astype(bool)
        world = np.array(joints["world_coord"])
        assert (world[~valid] == 1.0).all()
        assert (np.abs(world[valid] - [0, 0, 1000]).max(axis=0) < 320).all()
        shown = {"right": (True, False), "left": (False, True), "interacting": (True, True)}[annotation["hand_type"]]
        for hand, root in enumerate(ROOTS):
            block = valid[21 * hand : 21 * hand + 21]
            assert block.any() == shown[hand]
            invalid_root |= shown[hand] and not valid[root]
            invalid_joint |= shown[hand] and valid[root] and not block.all()
        invalid_type |= annotation["hand_type_valid"] == 0
    assert invalid_root
    assert invalid_joint
    assert invalid_type


def test_every_joint_is_valid_somewhere_in_single_and_in_interacting_test_samples(dataset):
    single, interacting = np.zeros(42, dtype=bool), np.zeros(42, dtype=bool)
    for _, annotation, _, _ in records(dataset[0], "test"):
        valid = np.array(annotation["joint_valid"])[:, 0].astype(bool)
        for hand, root in enumerate(ROOTS):
            valid[21 * hand : 21 * hand + 21] &= valid[root]
        target = interacting if annotation["hand_type"] == "interacting" else single
        target |= valid
    assert single.all()
    assert interacting.all()


def test_views_of_a_frame_share_the_pose_and_splits_share_nobody(dataset):
    subjects = {}
    for split in ("train", "test"):
        frames = {}
        for image, _, _, joints in records(dataset[0], split):
            frames.setdefault((image["capture"], image["frame_idx"]), []).append(image["camera"])
            subjects.setdefault(split, set()).add(image["subject"])
            assert joints["seq"] == image["seq_name"]
        assert all(len(views) == len(set(views)) == 2 for views in frames.values())
    assert not subjects["train"] & subjects["test"]
    wrists = {
        split: {tuple(joints["world_coord"][20]) for _, _, _, joints in records(dataset[0], split)}
        for split in ("train", "test")
    }
    assert not (wrists["train"] & wrists["test"]) - {(1.0, 1.0, 1.0)}


def test_skeleton_file(dataset):
    lines = (dataset[0] / "annotations" / "skeleton.txt").read_text().split("\n")
    assert lines[0].startswith("#")
    assert len(lines) == 43
    assert lines[1] == "r_thumb4 0 1"
    assert lines[4] == "r_thumb1 3 20"
    assert lines[21] == "r_wrist 20 -1"
    assert lines[42] == "l_wrist 41 -1"


def test_note_says_synthetic(dataset):
    note = (dataset[0] / NOTE).read_text()
    assert "SYNTHETIC" in note
    assert "--train 16 --test 32 --seed 0" in note


def test_same_seed_same_bytes_with_one_and_two_workers(tmp_path):
    for workers in (1, 2):
        write_interhand26m(tmp_path / str(workers), {"train": 4, "val": 2, "test": 4}, seed=5, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) == 10 + 9 + 3
    assert one == two


def test_same_seed_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_interhand26m(tmp_path / name, {"test": 3}, seed=7)
    assert len(digests(tmp_path / "a")) == 3 + 3 + 3
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_other_seed_other_pictures(tmp_path):
    for seed in (1, 2):
        write_interhand26m(tmp_path / str(seed), {"test": 1}, seed=seed)
    pictures = [next((tmp_path / str(seed)).rglob("*.jpg")).read_bytes() for seed in (1, 2)]
    assert pictures[0] != pictures[1]


def test_the_same_set_is_not_made_twice_and_another_replaces_it(tmp_path):
    assert write_interhand26m(tmp_path, {"test": 2}, seed=0) is not None
    assert write_interhand26m(tmp_path, {"test": 2}, seed=0) is None
    assert write_interhand26m(tmp_path, {"test": 1}, seed=0) is not None
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


@pytest.mark.parametrize(
    ("counts", "seed", "message"),
    [
        ({"testing": 4}, 0, "num_images"),
        ({"test": -1}, 0, "num_images"),
        ({}, 0, "num_images"),
        ({"test": 1}, -1, "seed"),
    ],
)
def test_wrong_arguments(tmp_path, counts, seed, message):
    with pytest.raises(ValueError, match=message):
        write_interhand26m(tmp_path / "new", counts, seed)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("num_images", [1, 5, 18])
def test_any_number_of_images(tmp_path, num_images):
    write_interhand26m(tmp_path, {"test": num_images}, seed=0)
    assert len(list(tmp_path.rglob("*.jpg"))) == num_images


def camera_azimuths_deg(folder):
    """Return where the cameras stand around the hands, 1 m in front of the world's origin; 0 is at the origin."""
    rigs = annotations(folder, "test")["camera"].values()
    centers = np.array([center for rig in rigs for center in rig["campos"].values()]) - (0, 0, 1000)
    return np.degrees(np.arctan2(centers[:, 0], -centers[:, 2]))


def test_view_spread_keeps_cameras_in_front(dataset, tmp_path):
    assert np.abs(camera_azimuths_deg(dataset[0])).max() > 150
    write_interhand26m(tmp_path, {"test": 4}, seed=0, view_spread_deg=20)
    assert np.abs(camera_azimuths_deg(tmp_path)).max() < 20 + 1
    assert "--view-spread 20" in (tmp_path / NOTE).read_text()
    with pytest.raises(ValueError, match="view_spread_deg"):
        write_interhand26m(tmp_path / "new", {"test": 1}, seed=0, view_spread_deg=-1)
