"""NYU's layout, read with scipy and OpenCV alone and projected with the formulas that its evaluations publish."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from dfmamba.synthesis.nyu import CENTER, SIZE, encode_depth, nyu_points, wall_depth, write_nyu
from dfmamba.synthesis.output import LIST, NOTE
from dfmamba.synthesis.scene import Camera

pytestmark = pytest.mark.slow

EVALUATED = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]  # of the 36, as A2J and V2V-PoseNet list them
NAMES = [
    "_".join((finger, knuckle, end))
    for finger in ("F1", "F2", "F3", "F4", "TH")
    for knuckle in ("KNU3", "KNU2", "KNU1")
    for end in "AB"
] + [f"PALM_{i}" for i in range(1, 7)]
REAL_CENTERS = Path(__file__).parents[3] / "shared" / "data" / "nyu" / "nyu_center_test.mat"
COUNTS = {"train": 1, "test": 6}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nyu")
    assert write_nyu(folder, COUNTS, seed=0) == {("train", "right"): 1, ("test", "right"): 6}
    return folder


@pytest.fixture(scope="module")
def gt(dataset):
    return loadmat(dataset / "test" / "joint_data.mat")


def depth(folder, frame, camera=1, kind="depth", split="test"):
    """Decode as A2J and V2V-PoseNet do: green is the high byte."""
    image = cv2.imread(str(folder / split / f"{kind}_{camera}_{frame + 1:07d}.png"))
    assert image.shape == (480, 640, 3)
    assert (image[..., 2] == 0).all()
    return image[..., 1].astype(int) * 256 + image[..., 0]


def in_image(gt, camera=1):
    """Yield (frame, point, column, row, depth) of NYU's 14 points that are in the image."""
    for frame, points in enumerate(gt["joint_uvd"][camera - 1]):
        for point in EVALUATED:
            column, row = np.rint(points[point, :2]).astype(int)
            if 0 <= column < 640 and 0 <= row < 480:
                yield frame, point, column, row, points[point, 2]


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LIST
    }


def test_tree(dataset):
    for split, count in COUNTS.items():
        assert {path.name for path in (dataset / split).iterdir()} == {"joint_data.mat"} | {
            f"{kind}_{camera}_{frame:07d}.png"
            for kind in ("depth", "rgb", "synthdepth")
            for camera in (1, 2, 3)
            for frame in range(1, count + 1)
        }
    assert "SYNTHETIC" in (dataset / NOTE).read_text()
    assert "nyu --out DIR --train 1 --test 6 --seed 0" in (dataset / NOTE).read_text()


@pytest.mark.parametrize("split", ["train", "test"])
def test_joint_data(dataset, split):
    content = loadmat(dataset / split / "joint_data.mat")
    assert {key for key in content if not key.startswith("__")} == {"joint_names", "joint_uvd", "joint_xyz"}
    assert content["joint_names"].shape == (1, 36)
    assert content["joint_names"].dtype == object
    assert [name.item() for name in content["joint_names"][0]] == NAMES
    for key in ("joint_uvd", "joint_xyz"):
        assert content[key].shape == (3, COUNTS[split], 36, 3)
        assert content[key].dtype == np.float64
    assert b"SYNTHETIC" in (dataset / split / "joint_data.mat").read_bytes()[:116]


def test_uvd_is_xyz_by_the_published_formulas(gt):
    u, v, d = np.moveaxis(gt["joint_uvd"], -1, 0)
    x, y, z = np.moveaxis(gt["joint_xyz"], -1, 0)
    # A2J and awesome-hand-pose-estimation; the minus sign turns y up
    np.testing.assert_allclose((u - 320) * d / 588.03, x, atol=1e-9)
    np.testing.assert_allclose((v - 240) * d / -587.07, y, atol=1e-9)
    np.testing.assert_array_equal(d, z)
    # V2V-PoseNet's has other digits: less than 0.01 mm here
    np.testing.assert_allclose((240 - v) * d / 587.075073, y, atol=0.01)


def test_cameras_see_one_hand_from_fixed_places(gt):
    """View k is view 1 moved by one rotation and one shift for all frames (least squares, Kabsch)."""
    first = gt["joint_xyz"][0].reshape(-1, 3)
    for other in gt["joint_xyz"][1:].reshape(2, -1, 3):
        a, b = first - first.mean(axis=0), other - other.mean(axis=0)
        left, _, right = np.linalg.svd(a.T @ b)
        assert np.linalg.det(left @ right) > 0  # a rotation in both, though y is up
        np.testing.assert_allclose(a @ (left @ right), b, atol=1e-6)
        turn = np.degrees(np.arccos((np.trace(left @ right) - 1) / 2))
        assert 25 < turn < 60


def test_the_hand_is_where_real_hands_are(gt):
    center = gt["joint_uvd"][0][:, EVALUATED].mean(axis=1)
    assert ((center[:, 2] > 600) & (center[:, 2] < 1120)).all()
    inside = np.delete(center, 2, axis=0)  # frame 2 is cut by the border
    assert ((inside[:, 0] > 150) & (inside[:, 0] < 450) & (inside[:, 1] > 140) & (inside[:, 1] < 400)).all()


@pytest.mark.skipif(not REAL_CENTERS.is_file(), reason="needs A2J's centers in shared/data/nyu")
def test_hands_are_spread_like_the_real_ones_and_centers_are_written_like_them(dataset):
    real, ours = (loadmat(path)["centre_pixel"] for path in (REAL_CENTERS, dataset / "nyu_center_test.mat"))
    assert real.dtype == ours.dtype
    assert real.shape[1:] == ours.shape[1:] == (1, 3)
    values = real[:, 0]
    spread = [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)]
    np.testing.assert_allclose(CENTER, spread, atol=1)


def test_sizes_are_in_mm(gt):
    joints = gt["joint_xyz"][0]
    for tip in (0, 6, 12, 18, 24):
        assert (np.linalg.norm(joints[:, tip] - joints[:, tip + 1], axis=-1) > 15).all()
        assert (np.linalg.norm(joints[:, tip] - joints[:, tip + 1], axis=-1) < 35).all()
    assert (np.linalg.norm(joints[:, 30] - joints[:, 31], axis=-1) < 60).all()  # the wrist's two sides


def test_points_of_a_hand_of_easy_numbers():
    joints = np.zeros((21, 3))  # canonical order: four of each finger from the tip, thumb first, and the wrist
    for finger in range(5):
        joints[4 * finger : 4 * finger + 4, 0] = 10 * finger  # fingers side by side
        joints[4 * finger : 4 * finger + 4, 1] = (100, 80, 60, 40)
    points = nyu_points(joints)
    assert points[0:6].tolist() == [[40, y, 0] for y in (100, 80, 70, 60, 50, 40)]  # F1 is the pinky
    assert points[18:24].tolist() == [[10, y, 0] for y in (100, 80, 70, 60, 50, 40)]  # F4 is the forefinger
    assert points[24:29].tolist() == [[0, y, 0] for y in (100, 80, 70, 60, 40)]
    assert points[29].tolist() == [0, 20, 0]  # half way from the thumb's base to the wrist
    np.testing.assert_allclose(points[30:32], [[9, 0, 0], [-9, 0, 0]], atol=1e-12)  # 0.45 of the way from index to ring
    assert points[32].tolist() == [10, 20, 0]


def test_rendered_depth_lies_just_before_the_joints(dataset, gt):
    before = []
    for camera in (1, 2, 3):
        for frame, _, column, row, joint_depth in in_image(gt, camera):
            rendered = depth(dataset, frame, camera, "synthdepth")
            surface = rendered[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            before.append(joint_depth - surface[surface > 0].min())
    assert len(before) > 200
    assert min(before) > -1  # a joint is inside the flesh
    assert np.percentile(before, 25) < 12  # half the thickness of a finger
    assert np.mean(np.array(before) < 35) > 0.5  # others are behind another part of the hand


def test_sensed_depth_is_that_of_the_hand_with_noise_and_holes(dataset, gt):
    difference, lost = [], []
    for frame in range(COUNTS["test"]):
        sensed, rendered = depth(dataset, frame), depth(dataset, frame, kind="synthdepth")
        body = cv2.erode((rendered > 0).astype(np.uint8), np.ones((5, 5))) == 1  # without the ragged edge
        seen = body & (sensed > 0)
        difference.append((sensed - rendered)[seen])
        lost.append(body & (sensed == 0))
        assert (sensed == 0).any()  # shadows
        assert sensed[sensed > 0].min() >= 400  # a Kinect's nearest
        assert sensed.max() <= 4000
    difference = np.concatenate(difference)
    assert abs(np.median(difference)) <= 1
    assert 0.3 < np.median(np.abs(difference)) < 3  # 1.43e-6 z^2 is 1.1 mm at 0.9 m
    assert sum(hole.sum() for hole in lost) > 10


def test_synthdepth_shows_the_hand_alone(dataset):
    for frame in range(COUNTS["test"]):
        rendered = depth(dataset, frame, kind="synthdepth")
        assert 500 < (rendered > 0).sum() < 60000
        assert np.ptp(rendered[rendered > 0]) < 600


def test_odd_records(dataset, gt):
    cut = {
        frame
        for frame, points in enumerate(gt["joint_uvd"][0][:, EVALUATED])
        if ((points[:, :2] < 0) | (points[:, :2] > (639, 479))).any()
    }
    assert 2 in cut
    lines = (dataset / "center_test_refined.txt").read_text().splitlines()
    assert [number for number, line in enumerate(lines) if line == "invalid"] == [4]
    assert "invalid" not in (dataset / "center_train_refined.txt").read_text()


def test_centers(dataset, gt):
    pixels = loadmat(dataset / "nyu_center_test.mat")["centre_pixel"]
    assert pixels.shape == (6, 1, 3)
    lines = (dataset / "center_test_refined.txt").read_text().splitlines()
    mean = gt["joint_xyz"][0][:, EVALUATED].mean(axis=1)
    for number, (line, (u, v, d)) in enumerate(zip(lines, pixels[:, 0], strict=True)):
        center = np.array([(u - 320) * d / 588.03, (v - 240) * d / -587.07, d])
        if line != "invalid":
            np.testing.assert_allclose([float(word) for word in line.split()], center, atol=1e-5)
        off = np.linalg.norm(center - mean[number])
        assert off == pytest.approx(70) if number == 3 else off < 20


def test_true_joints_of_a2j(dataset, gt):
    np.testing.assert_array_equal(
        loadmat(dataset / "nyu_keypointsUVD_test.mat")["keypoints3D"], gt["joint_uvd"][0][:, EVALUATED]
    )


def test_test_shows_the_person_of_train_then_another(dataset, gt):
    train = loadmat(dataset / "train" / "joint_data.mat")["joint_xyz"][0]

    def first_bones(joints):  # of the fingers: their lengths tell persons apart
        return [round(float(np.linalg.norm(joints[tip + 5] - joints[tip + 3])), 3) for tip in (0, 6, 12, 18)]

    persons = [first_bones(joints) for joints in gt["joint_xyz"][0]]
    assert persons[0] == persons[1] == first_bones(train[0])  # 2440 of 8252 frames: 1.77 of 6
    assert all(bones == persons[2] for bones in persons[2:])
    assert persons[2] != persons[0]


def test_depth_code():
    # By hand: 1000 = 3 * 256 + 232; OpenCV has blue first
    assert encode_depth(np.array([[0, 255, 256, 1000]], dtype=np.uint16))[0].tolist() == [
        [0, 0, 0],
        [255, 0, 0],
        [0, 1, 0],
        [232, 3, 0],
    ]


def test_wall_depth():
    camera = Camera(
        "1", np.zeros(3), np.eye(3), np.array([588.03, 587.07]), np.array([320.0, 240.0]), SIZE, False, np.ones(3)
    )
    straight = wall_depth(camera, np.array([0, 0, 2000.0]), np.array([0, 0, 1.0]))
    np.testing.assert_allclose(straight, np.full(SIZE, 2000.0))
    # Turned by 45 degrees: x + z = 2000, x = (u - 320) z / fx
    turned = wall_depth(camera, np.array([0, 0, 2000.0]), np.array([1.0, 0, 1.0]) / 2**0.5)
    np.testing.assert_allclose(turned[7, [0, 320, 639]], [2000 / (1 - 320 / 588.03), 2000, 2000 / (1 + 319 / 588.03)])
    assert np.isinf(wall_depth(camera, np.array([0, 0, -2000.0]), np.array([0, 0, 1.0]))).all()


def test_same_seed_same_bytes_with_one_and_two_workers(tmp_path):
    for workers in (1, 2):
        write_nyu(tmp_path / str(workers), {"train": 2}, seed=5, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) == 2 * 9 + 1 + 3 + 1
    assert one == two
    assert write_nyu(tmp_path / "1", {"train": 2}, seed=5) is None


def test_another_set_replaces_it(tmp_path):
    assert write_nyu(tmp_path, {"train": 1}, seed=1) is not None
    before = digests(tmp_path)
    assert write_nyu(tmp_path, {"train": 1}, seed=2, view_spread_deg=15) is not None
    after = digests(tmp_path)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert "--view-spread 15" in (tmp_path / NOTE).read_text()


def test_there_is_no_val_split(tmp_path):
    with pytest.raises(ValueError, match="train, test"):
        write_nyu(tmp_path / "new", {"val": 1}, 0)
    assert not (tmp_path / "new").exists()
