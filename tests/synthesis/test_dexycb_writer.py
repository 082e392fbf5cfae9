"""The official layout, read with numpy and yaml only; projections and rigid motions are written out here."""

import hashlib

import cv2
import numpy as np
import pytest
import yaml

from dfmamba.synthesis import dexycb, dexycb_plan
from dfmamba.synthesis.dexycb import make_rig, write_dexycb
from dfmamba.synthesis.dexycb_plan import SERIALS, SUBJECTS, plan_split
from dfmamba.synthesis.objects import YCB_OBJECTS, signed_distance
from dfmamba.synthesis.output import LIST, NOTE

pytestmark = pytest.mark.slow

# wrist, then thumb to little finger, each from the base to the tip, as the toolkit names them
FINGERTIPS, KNUCKLES = (4, 8, 12, 16, 20), (1, 5, 9, 13, 17)
SKIN_MM = 25.0  # between a joint and the surface before it


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One recording of a right hand with two frames, the first without a hand, and one of a left hand."""
    folder = tmp_path_factory.mktemp("dexycb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dexycb_plan, "MIN_RECORDINGS", 1)
        counts = write_dexycb(folder, {"train": 16, "test": 8}, seed=0)
    return folder, counts


def load_yaml(path):
    return yaml.load(path.read_text(), Loader=yaml.FullLoader)  # safe_load does not know python/tuple


def recordings(folder):
    """Yield the folder and the meta file of each recording."""
    for path in sorted(folder.glob("*-subject-*/*/meta.yml")):
        yield path.parent, load_yaml(path)


def intrinsics(folder, serial):
    color = load_yaml(folder / "calibration" / "intrinsics" / f"{serial}_640x480.yml")["color"]
    return color["fx"], color["fy"], color["ppx"], color["ppy"]


def views(folder):
    """Yield (meta, serial, labels, colour, depth) of each image."""
    for recording, meta in recordings(folder):
        for serial in meta["serials"]:
            for frame in range(meta["num_frames"]):
                with np.load(recording / serial / f"labels_{frame:06d}.npz", allow_pickle=False) as file:
                    labels = dict(file)
                color = cv2.imread(str(recording / serial / f"color_{frame:06d}.jpg"), cv2.IMREAD_UNCHANGED)
                depth = cv2.imread(
                    str(recording / serial / f"aligned_depth_to_color_{frame:06d}.png"), cv2.IMREAD_UNCHANGED
                )
                yield meta, serial, labels, color, depth


def with_hand(folder):
    return [view for view in views(folder) if not (view[2]["joint_3d"] == -1).all()]


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def test_tree(dataset):
    folder, counts = dataset
    assert counts == {("train", "right"): 8, ("train", "no hand"): 8, ("test", "left"): 8}
    assert sorted(path.name for path in folder.iterdir()) == sorted([*SUBJECTS, "calibration", NOTE, LIST])
    for subject in SUBJECTS:
        assert len(list((folder / subject).iterdir())) == 100
    for recording, meta in recordings(folder):
        subject = recording.parent
        position = sorted(path.name for path in subject.iterdir()).index(recording.name)
        assert meta["ycb_ids"][meta["ycb_grasp_ind"]] == YCB_OBJECTS[position // 5].ycb_id
        assert (position % 5 == 4) == (subject.name == SUBJECTS[7])  # the test recording
        assert meta["serials"] == list(SERIALS)
        assert sorted(path.name for path in recording.iterdir() if path.is_dir()) == sorted(SERIALS)
        assert set(meta) == {
            "serials",
            "num_frames",
            "extrinsics",
            "mano_calib",
            "mano_sides",
            "ycb_ids",
            "ycb_grasp_ind",
        }
        assert len(load_yaml(folder / "calibration" / f"mano_{meta['mano_calib'][0]}" / "mano.yml")["betas"]) == 10
    assert [meta["mano_sides"][0] for _, meta in recordings(folder)] == ["right", "left"]
    assert "SYNTHETIC" in (folder / NOTE).read_text()


def test_label_files(dataset):
    for meta, _, labels, color, depth in views(dataset[0]):
        objects = len(meta["ycb_ids"])
        shapes = {
            "seg": (480, 640),
            "pose_y": (objects, 3, 4),
            "pose_m": (1, 51),
            "joint_3d": (1, 21, 3),
            "joint_2d": (1, 21, 2),
        }
        assert {name: values.shape for name, values in labels.items()} == shapes
        assert {name: str(values.dtype) for name, values in labels.items()} == {
            name: "uint8" if name == "seg" else "float32" for name in shapes
        }
        assert color.shape == (480, 640, 3)
        assert color.std() > 5
        assert depth.shape == (480, 640)
        assert depth.dtype == np.uint16
        assert 0.005 < (depth == 0).mean() < 0.35  # holes, but not too many
        assert set(np.unique(labels["seg"])) <= {0, 255, *meta["ycb_ids"]}
        hand = (labels["seg"] == 255).any()
        for name, mark in (("joint_3d", -1), ("joint_2d", -1), ("pose_m", 0)):
            assert (labels[name] == mark).all() != hand


def test_joint_2d_is_the_projection_of_joint_3d(dataset):
    for _, serial, labels, _, _ in with_hand(dataset[0]):
        fx, fy, cx, cy = intrinsics(dataset[0], serial)
        for (x, y, z), (u, v) in zip(labels["joint_3d"][0], labels["joint_2d"][0], strict=True):
            assert 0.55 < z < 1.25
            assert u == pytest.approx(fx * x / z + cx, abs=1e-3)
            assert v == pytest.approx(fy * y / z + cy, abs=1e-3)


def test_joints_are_in_metres_and_in_the_order_of_the_toolkit(dataset):
    for meta, _, labels, _, _ in with_hand(dataset[0]):
        joints = labels["joint_3d"][0].astype(float)
        reach = np.linalg.norm(joints - joints[0], axis=1)
        assert 0.07 < reach[9] < 0.1  # wrist to the middle finger's knuckle
        for base, tip in zip(KNUCKLES, FINGERTIPS, strict=True):
            bones = np.linalg.norm(np.diff(joints[base : tip + 1], axis=0), axis=1)
            assert (np.diff(bones) < 0).all()  # phalanges get shorter towards the tip
            assert 0.015 < bones.min() < bones.max() < 0.055
        # The thumb's side: out of the palm, from the little finger to the index finger, is the knuckles' handed order.
        across, along = joints[5] - joints[17], joints[9] - joints[0]
        curl = joints[list(FINGERTIPS[1:])].mean(axis=0) - joints[list(KNUCKLES[1:])].mean(axis=0)
        handed = np.cross(across, along) @ curl
        assert (handed > 0) == (meta["mano_sides"][0] == "right")


def test_all_cameras_agree_on_the_joints_in_the_world(dataset):
    folder = dataset[0]
    for recording, meta in recordings(folder):
        calibration = load_yaml(folder / "calibration" / f"extrinsics_{meta['extrinsics']}" / "extrinsics.yml")
        assert set(calibration["extrinsics"]) == {*SERIALS, "apriltag"}
        assert all(isinstance(numbers, tuple) and len(numbers) == 12 for numbers in calibration["extrinsics"].values())
        np.testing.assert_allclose(
            np.reshape(calibration["extrinsics"][calibration["master"]], (3, 4)), np.eye(3, 4), atol=1e-9
        )
        frame = meta["num_frames"] - 1
        worlds, poses = [], []
        for serial in SERIALS:
            to_world = np.reshape(calibration["extrinsics"][serial], (3, 4))
            np.testing.assert_allclose(to_world[:, :3] @ to_world[:, :3].T, np.eye(3), atol=1e-9)
            with np.load(recording / serial / f"labels_{frame:06d}.npz") as labels:
                worlds.append([to_world[:, :3] @ joint + to_world[:, 3] for joint in labels["joint_3d"][0]])
                poses.append(
                    [
                        to_world[:, :3] @ pose + np.column_stack([np.zeros((3, 3)), to_world[:, 3]])
                        for pose in labels["pose_y"]
                    ]
                )
        assert np.ptp(np.array(worlds), axis=0).max() < 1e-5
        assert np.ptp(np.array(poses), axis=0).max() < 1e-5
        with np.load(recording / "pose.npz") as pose:
            assert pose["pose_m"].shape == (meta["num_frames"], 1, 51)
            assert pose["pose_y"].shape == (meta["num_frames"], len(meta["ycb_ids"]), 7)
            np.testing.assert_allclose(pose["pose_m"][frame, 0, 48:], worlds[0][0], atol=1e-5)
            for (x, y, z, w, *place), expected in zip(pose["pose_y"][frame], poses[0], strict=True):
                np.testing.assert_allclose(place, expected[:, 3], atol=1e-5)
                first = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)]
                np.testing.assert_allclose(first, expected[:, 0], atol=1e-5)


def test_mask_and_depth_show_the_hand_where_the_joints_are(dataset):
    shown = 0
    for meta, _, labels, _, depth in with_hand(dataset[0]):
        held = meta["ycb_ids"][meta["ycb_grasp_ind"]]
        for (_, _, z), pixel in zip(labels["joint_3d"][0], labels["joint_2d"][0], strict=True):
            column, row = np.rint(pixel).astype(int)
            if not (0 <= column < 640 and 0 <= row < 480) or depth[row, column] == 0:
                continue
            gap = 1000 * z - depth[row, column]
            assert gap > -12  # the surface is before the joint, but for the sensor's errors
            if labels["seg"][row, column] == 255 and gap < SKIN_MM:
                shown += 1
            elif labels["seg"][row, column] in (0, held):
                assert gap > -5  # a sleeve or the object is before it
    assert shown > 16 * 4


def test_objects_are_where_their_poses_say(dataset):
    """Lift the pixels of each object by the depth image into its frame: they lie on its surface."""
    for meta, serial, labels, _, depth in views(dataset[0]):
        fx, fy, cx, cy = intrinsics(dataset[0], serial)
        for number, pose in zip(meta["ycb_ids"], labels["pose_y"].astype(float), strict=True):
            obj = next(obj for obj in YCB_OBJECTS if obj.ycb_id == number)
            rows, columns = np.nonzero((labels["seg"] == number) & (depth > 0))
            if len(rows) < 200:
                continue
            z = depth[rows, columns]
            points = np.stack([(columns - cx) * z / fx, (rows - cy) * z / fy, z], axis=1)
            local = (points - 1000 * pose[:, 3]) @ pose[:, :3]
            assert np.median(np.abs(signed_distance(obj, local))) < 4


def test_the_hand_is_partly_hidden_by_what_it_holds(dataset):
    hidden = 0
    for meta, _, labels, _, _ in with_hand(dataset[0]):
        columns, rows = np.rint(labels["joint_2d"][0]).astype(int).T
        inside = (columns >= 0) & (columns < 640) & (rows >= 0) & (rows < 480)
        hidden += (labels["seg"][rows[inside], columns[inside]] == meta["ycb_ids"][meta["ycb_grasp_ind"]]).sum()
    assert hidden > 16  # joints


def in_split(setup, split, subject, position):
    """The toolkit's rules, written out; s2 goes by camera, and all cameras are there."""
    rules = {
        "s0": {
            "train": position % 5 != 4,
            "val": position % 5 == 4 and subject < 2,
            "test": position % 5 == 4 and subject >= 2,
        },
        "s1": {"train": subject in (0, 1, 2, 3, 4, 5, 9), "val": subject == 6, "test": subject in (7, 8)},
        "s3": {
            "train": position // 5 not in (3, 7, 11, 15, 19),
            "val": position // 5 in (3, 19),
            "test": position // 5 in (7, 11, 15),
        },
    }
    return rules[setup][split]


def plan(folder, counts):
    return {split: plan_split(folder, 0, split, count, None) for split, count in counts.items()}


@pytest.mark.parametrize("counts", [{"train": 24, "val": 8, "test": 8}, {"train": 800, "val": 80, "test": 160}])
def test_every_split_has_images(tmp_path, counts):
    plans = plan(tmp_path, counts)
    everything = [recording for recordings in plans.values() for recording in recordings]
    for split in ("train", "val", "test"):
        assert sum(8 * recording.num_frames for recording in plans[split]) == counts[split]
        assert all(in_split("s0", split, recording.subject, recording.position) for recording in plans[split])
        for setup in ("s1", "s3"):
            assert any(in_split(setup, split, recording.subject, recording.position) for recording in everything)


def test_a_large_plan_uses_every_recording_once(tmp_path):
    plans = plan(tmp_path, {"train": 8 * 4 * 900, "val": 8 * 4 * 40, "test": 8 * 4 * 160})
    keys = [(recording.subject, recording.position) for recordings in plans.values() for recording in recordings]
    assert len(keys) == len(set(keys)) == 1000
    assert len({recording.name for recording in plans["train"]}) == 800


def test_same_seed_same_bytes_with_one_and_two_workers(tmp_path):
    for workers in (1, 2):
        write_dexycb(tmp_path / str(workers), {"val": 16}, seed=5, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) == 16 * 3 + 2 * 2 + 8 + 1 + 2 + 1
    assert one == two


def test_same_seed_same_bytes_and_other_seed_other_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(dexycb, "make_rig", lambda *arguments: make_rig(*arguments)[:1])  # for speed
    monkeypatch.setattr(dexycb, "MASTER", SERIALS[0])
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_dexycb(tmp_path / name, {"val": 8}, seed=seed)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a if name.endswith((".jpg", ".npz")))
    assert write_dexycb(tmp_path / "a", {"val": 8}, seed=7) is None


@pytest.mark.parametrize(("view_spread_deg", "widest"), [(None, 140), (20, 22)])
def test_view_spread_keeps_cameras_in_front(view_spread_deg, widest):
    """The person looks along -z; azimuth 0 is straight before them."""
    centers = np.array([camera.center_mm for camera in make_rig(0, view_spread_deg)]) - dexycb.WORKSPACE_MM
    azimuth = np.abs(np.degrees(np.arctan2(centers[:, 0], -centers[:, 2])))
    assert 0.8 * widest < azimuth.max() < widest


@pytest.mark.parametrize(
    ("counts", "seed", "message"),
    [
        ({"train": 12}, 0, "multiples of 8"),
        ({"testing": 8}, 0, "num_images"),
        ({}, 0, "num_images"),
        ({"test": -8}, 0, "num_images"),
        ({"test": 8}, -1, "seed"),
    ],
)
def test_wrong_arguments(tmp_path, counts, seed, message):
    with pytest.raises(ValueError, match=message):
        write_dexycb(tmp_path / "new", counts, seed)
    assert not (tmp_path / "new").exists()
