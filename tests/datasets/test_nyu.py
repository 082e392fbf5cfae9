import doctest
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS, METRICS
from nyu_fixture import (
    CENTERS,
    CROP,
    JOINTS,
    NUM_FRAMES,
    PINKY_TIP,
    V2V_CENTERS,
    contents,
    depth_map,
    open_nyu,
    write_annotations,
)
from PIL import Image

import dfmamba.codecs  # registers A2JCodec for the base config
import dfmamba.datasets.nyu.annotations
import dfmamba.evaluation.metrics
from dfmamba.datasets import NYUDataset, parse_nyu
from dfmamba.datasets.nyu.annotations import cube_box
from dfmamba.datasets.transforms.depth import A2J_MEAN_MM, A2J_STD_MM
from dfmamba.errors import DataError
from dfmamba.evaluation import score_nyu
from dfmamba.evaluation.result_files import read_result_file
from dfmamba.geometry import camera_to_nyu_uvd, flip_y, nyu_uvd_to_camera
from dfmamba.skeleton import NYU_14, NYU_14_OF_36

REPOSITORY = Path(__file__).parents[2]
REAL_CENTERS = REPOSITORY.parent / "shared" / "data" / "nyu" / "nyu_center_test.mat"


def test_examples_in_docstrings():
    result = doctest.testmod(dfmamba.datasets.nyu.annotations)
    assert result.attempted > 0
    assert result.failed == 0


# ---- the camera


def test_y_up_becomes_y_down_and_back():
    assert flip_y([[1, 2, 3]]).tolist() == [[1, -2, 3]]
    assert flip_y(flip_y([[1, 2, 3]])).tolist() == [[1, 2, 3]]


def test_uvd_against_numbers_worked_out_by_hand():
    joints = nyu_uvd_to_camera([[320, 240, 700], [320 + 588.03 / 2, 240 + 587.07 / 10, 1000]])
    np.testing.assert_allclose(joints, [[0, 0, 700], [500, 100, 1000]])
    np.testing.assert_allclose(camera_to_nyu_uvd(joints), [[320, 240, 700], [614.015, 298.707, 1000]])


def a2j_pixel_to_world(uvd):
    """A2J's way from u, v, d to x, y, z with y up: fy is negative."""
    u, v, d = np.moveaxis(uvd, -1, 0)
    return np.stack([(u - 320) * d / 588.03, (v - 240) * d / -587.07, d], axis=-1)


def test_uvd_is_a2js_with_y_turned_over():
    uvd = np.random.default_rng(0).uniform([0, 0, 400], [640, 480, 1100], (50, 14, 3))
    np.testing.assert_allclose(nyu_uvd_to_camera(uvd), a2j_pixel_to_world(uvd) * [1, -1, 1])


def test_cube_box_is_a2js():
    """A2J goes to x, y in mm, adds 110 mm on each side, and comes back."""
    centers = np.random.default_rng(0).uniform([0, 0, 400], [640, 480, 1100], (50, 3))
    world = a2j_pixel_to_world(centers)
    corners = []
    for dx, dy in ((-110, 110), (110, -110)):  # left and top (y up), right and bottom
        x, y, z = world[:, 0] + dx, world[:, 1] + dy, world[:, 2]
        corners += [x * 588.03 / z + 320, y * -587.07 / z + 240]
    np.testing.assert_allclose(cube_box(centers, 110), np.stack(corners, axis=1))


# ---- the parser


def test_parser_makes_columns(nyu_root):
    parsed = parse_nyu(nyu_root / "test/joint_data.mat", nyu_root / CENTERS)
    assert parsed.skipped == {}
    assert parsed.columns["frame"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(parsed.columns["center"], [[320, 240, 800], [320, 240, 810], [320, 240, 820]])
    joints = parsed.columns["joints_cam"]
    assert joints.shape == (3, 14, 3)
    np.testing.assert_allclose(joints[1, 0], [80, -80, 810], atol=1e-9)  # y down
    np.testing.assert_allclose(joints[1, 13], [0, 0, 810], atol=1e-9)
    for joint, point in enumerate((3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31), start=1):  # A2J's 14 of 36
        np.testing.assert_allclose(joints[2, joint], [point, -2 * point, 820 + point], rtol=1e-9)


def test_both_gts_agree(nyu_root):
    uvd, xyz = (
        parse_nyu(nyu_root / "test/joint_data.mat", gt=gt).columns["joints_cam"] for gt in ("joint_uvd", "joint_xyz")
    )
    np.testing.assert_allclose(uvd, xyz, atol=1e-9)


def test_other_cameras(nyu_root):
    for camera in (2, 3):
        joints = parse_nyu(nyu_root / "test/joint_data.mat", camera=camera).columns["joints_cam"]
        np.testing.assert_allclose(joints[0, 13], [10 * (camera - 1), 0, 800], atol=1e-9)


def test_center_of_the_joints(nyu_root):
    columns = parse_nyu(nyu_root / "test/joint_data.mat").columns
    points = np.array([3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31])
    x, y, z = (points.sum() + 80) / 14, (2 * points.sum() + 80) / 14, 800 + points.sum() / 14  # y up
    np.testing.assert_allclose(columns["center"][0], [320 + 588.03 * x / z, 240 - 587.07 * y / z, z])


def test_centers_of_v2v(nyu_root):
    """x, y, z in mm, y up, where A2J has u, v and depth; a frame without a center is left out, and is no fault."""
    (nyu_root / V2V_CENTERS).write_text("0 0 800\ninvalid\n82.0 41.0 820.0\n")
    parsed = parse_nyu(nyu_root / JOINTS, nyu_root / V2V_CENTERS)
    assert parsed.columns["frame"].tolist() == [0, 2]
    assert parsed.skipped == {"no center": 1}
    np.testing.assert_allclose(parsed.columns["center"], [[320, 240, 800], [320 + 588.03 / 10, 240 - 587.07 / 20, 820]])
    dataset = open_nyu(nyu_root, centers=V2V_CENTERS)
    assert [dataset.get_data_info(i)["id"] for i in range(len(dataset))] == [1, 3]


def test_centers_of_ren_and_pose_ren(nyu_root):
    """u, v and depth as text, with nothing that says so: the hands are there, 400 mm away from where xyz would be."""
    (nyu_root / V2V_CENTERS).write_text("322.0 238.5 805\n321 239 815\n319.25 241 825\n")
    parsed = parse_nyu(nyu_root / JOINTS, nyu_root / V2V_CENTERS)
    np.testing.assert_allclose(parsed.columns["center"], [[322, 238.5, 805], [321, 239, 815], [319.25, 241, 825]])


def test_centers_beside_the_hands_are_refused(nyu_root):
    """Three numbers a line of another split, or another set: far from the hands, however they are read."""
    (nyu_root / V2V_CENTERS).write_text("900 700 805\n900 700 815\n900 700 825\n")
    with pytest.raises(
        DataError,
        match=r"expected centers of the hands of .*joint_data.mat, got some that are in the "
        r"median off by \d+ mm as u px, v px, depth mm, \d+ mm as x, y, z",
    ):
        parse_nyu(nyu_root / JOINTS, nyu_root / V2V_CENTERS)


def test_centers_with_y_down_are_read_so(nyu_root):
    """Hands high above the axis, so that up and down are apart."""
    arrays = contents()
    arrays["joint_uvd"][..., 1] -= 150  # about 200 mm
    write_annotations(nyu_root, arrays)
    centers = nyu_uvd_to_camera(arrays["joint_uvd"][0][:, NYU_14_OF_36]).mean(axis=1)
    for sign in (1, -1):  # y down, y up
        lines = [f"{x} {sign * y} {z}" for x, y, z in centers]
        (nyu_root / V2V_CENTERS).write_text("\n".join(lines) + "\n")
        np.testing.assert_allclose(
            parse_nyu(nyu_root / JOINTS, nyu_root / V2V_CENTERS).columns["center"], camera_to_nyu_uvd(centers)
        )


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(nyu_root):
    sample = open_nyu(nyu_root, centers=CENTERS).get_data_info(1)
    np.testing.assert_allclose(sample["keypoints_cam"][0, 0], [80, -80, 810], rtol=1e-6)
    tip = 320 + 588.03 * 80 / 810, 240 - 587.07 * 80 / 810, 0  # above the axis: less than 240
    np.testing.assert_allclose(sample["keypoints"][0, 0], tip, rtol=1e-6)
    np.testing.assert_allclose(sample["keypoints"][0, 13], [320, 240, 0], atol=1e-4)
    np.testing.assert_allclose(sample["keypoints"][0, 1, 2], 3, rtol=1e-5)
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 14, 3)
    assert sample["keypoints_visible"].tolist() == [[1] * 14]
    assert sample["root_depth"].tolist() == [810] * 14
    assert sample["abs_depth"].tolist() == [810, 810]
    assert sample["hand_type"].tolist() == [[1, 0]]
    np.testing.assert_allclose(sample["focal"], [588.03, 587.07])
    assert sample["principal_pt"].tolist() == [320, 240]
    right, below = 110 * 588.03 / 810, 110 * 587.07 / 810
    np.testing.assert_allclose(sample["bbox"], [[320 - right, 240 - below, 320 + right, 240 + below]], rtol=1e-6)
    expected = {
        "id": 2,
        "img_id": 2,
        "frame_idx": 2,
        "camera": "1",
        "seq_name": "test",
        "dataset_name": "nyu",
        "img_path": str(nyu_root / "test/depth_1_0000002.png"),
    }
    assert {key: sample[key] for key in expected} == expected


def test_center_decides_on_z(nyu_root):
    sample = open_nyu(nyu_root).get_data_info(0)
    valid_z = sample["keypoints"][0, :, 2] + sample["root_depth"]
    np.testing.assert_allclose(valid_z, sample["keypoints_cam"][0, :, 2], rtol=1e-6)
    assert sample["root_depth"][0] != 800


def test_skipped_frames_keep_their_numbers(nyu_root):
    arrays = contents()
    arrays["joint_uvd"][0, 1] = np.nan
    write_annotations(nyu_root, arrays)
    dataset = open_nyu(nyu_root, faulty="skip")
    assert [dataset.get_data_info(i)["img_path"][-11:] for i in range(2)] == ["0000001.png", "0000003.png"]


def test_crop_of_a_depth_image(nyu_root):
    """The hand is a square of 101 px at 825 mm around the center at 800 mm; beyond it is the wall, a hole is inside."""
    sample = open_nyu(nyu_root, centers=CENTERS, pipeline=CROP)[0]
    assert sample["img"].shape == (176, 176, 1)
    value = sample["img"][..., 0] * A2J_STD_MM + A2J_MEAN_MM
    hand = np.abs(value - 25) < 1e-3
    wall_or_hole = np.abs(value) < 1e-3
    assert (hand | wall_or_hole).all()
    px = 800 * 176 / (220 * 588.03)  # crop px for each px
    assert hand.sum() == pytest.approx((101 * px) ** 2, rel=0.03)
    assert wall_or_hole[int(88 - 10 * px), int(88 - 20 * px)]  # the hole at (300, 230)


def test_depth_of_the_fixture_is_what_it_says(nyu_root):
    rgb = np.asarray(Image.open(nyu_root / "test/depth_1_0000001.png")).astype(int)
    np.testing.assert_array_equal(256 * rgb[..., 1] + rgb[..., 2], depth_map(0))


# ---- the protocol


def test_perfect_and_moved_predictions(nyu_root):
    dataset = open_nyu(nyu_root, centers=CENTERS)
    samples = [dataset.get_data_info(i) for i in range(NUM_FRAMES)]
    gt = np.concatenate([sample["keypoints_cam"] for sample in samples])
    uvd = np.concatenate([sample["keypoints"] for sample in samples])
    uvd[..., 2] += [sample["root_depth"] for sample in samples]
    lifted = nyu_uvd_to_camera(uvd)
    assert score_nyu(lifted, gt).metrics["mean_error_abs_mm"] < 1e-3  # float32
    assert score_nyu(gt, gt).metrics["mean_error_abs_mm"] == 0
    moved = gt.copy()
    moved[1, 5] += [3, -4, 0]
    metrics = score_nyu(moved, gt).metrics
    assert metrics["mean_error_abs_mm"] == pytest.approx(5 / (3 * 14))
    moved[2] += [0, 12, 16]  # 20 mm, all joints of a frame
    metrics = score_nyu(moved, gt).metrics
    assert metrics["mean_error_abs_mm"] == pytest.approx((5 + 14 * 20) / (3 * 14))
    assert metrics["success_max_frame_10_mm"] == pytest.approx(2 / 3)


def test_from_the_pipeline_to_the_metric_and_its_result_file(nyu_root):
    """The config's pipeline and metric; crop px and mm become image px and mm as in mmpose's estimator."""
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/nyu.py")
    config.val_dataloader.dataset.update(data_root=str(nyu_root), cache_dir=str(nyu_root / "cache"))
    result_file = nyu_root / "result.txt"
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = DATASETS.build(config.val_dataloader.dataset)
        metric = METRICS.build(config.val_evaluator | {"result_file": str(result_file)})
        crop = open_nyu(nyu_root, centers=CENTERS, pipeline=CROP)
    for i in range(NUM_FRAMES):
        sample, cropped = dataset[i]["data_samples"].to_dict(), crop[i]
        keypoints = cropped["transformed_keypoints"].copy()
        keypoints[..., :2] = (
            keypoints[..., :2] / sample["input_size"] * sample["input_scale"]
            + sample["input_center"]
            - 0.5 * sample["input_scale"]
        )
        if i == 2:
            keypoints[0, 13] += [3 * 588.03 / 820, 4 * 587.07 / 820, 0]  # the palm is at 820 mm: 5 mm
        sample["pred_instances"] = {"keypoints": keypoints}
        metric.process({}, [sample])
    metrics = metric.evaluate(NUM_FRAMES)
    assert metrics["nyu/mean_error_abs_mm"] == pytest.approx(5 / (3 * 14), abs=1e-4)
    table = read_result_file("nyu", result_file)
    expected = parse_nyu(nyu_root / JOINTS).columns["joints_cam"]
    expected[2, 13] += [3, 4, 0]
    np.testing.assert_allclose(table.joints_mm, expected, atol=2e-3)  # the text has three decimals


def test_error_in_uvd_against_numbers_worked_out_by_hand(nyu_root):
    """A pixel is 800 / 588.03 mm wide at the palm's depth; 10 mm of depth move the pinky's tip along its ray."""
    sample = open_nyu(nyu_root, centers=CENTERS).get_data_info(0)
    uvd = camera_to_nyu_uvd(sample["keypoints_cam"][0].astype(np.float64))
    uvd[13, 0] += 1
    uvd[0, 2] += 10
    errors = np.linalg.norm(nyu_uvd_to_camera(uvd) - sample["keypoints_cam"][0], axis=1)
    np.testing.assert_allclose(errors[[13, 0]], [800 / 588.03, 10 * np.sqrt(0.1**2 + 0.1**2 + 1)], rtol=1e-5)
    assert PINKY_TIP == 0
    assert errors[1:13].max() < 1e-3


# ---- the data set


def test_log_and_metainfo(nyu_root, log):
    meta = open_nyu(nyu_root, centers=CENTERS).metainfo
    assert "NYUDataset: 3 used, 0 skipped" in log.text
    assert meta["num_keypoints"] == 14
    assert meta["flip_indices"] == list(range(14))
    assert meta["keypoint_id2name"][13] == NYU_14.names[13] == "palm"
    assert meta["data_source"]["centers"] == CENTERS
    assert 5 <= len(NYUDataset.EXPECTED_LAYOUT.splitlines()) <= 8


def test_arguments_make_other_indices(nyu_root):
    digests = {
        open_nyu(nyu_root, **arguments).metainfo["data_source"]["digest"]
        for arguments in ({}, {"centers": CENTERS}, {"camera": 2}, {"camera": 3})
    }
    assert len(digests) == 4


def test_can_be_sent_to_a_worker_process(nyu_root):
    dataset = pickle.loads(pickle.dumps(open_nyu(nyu_root)))
    assert dataset.get_data_info(2)["id"] == 3


def test_base_config(nyu_root):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/nyu.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.update(data_root=str(nyu_root), split="test", centers=CENTERS, cache_dir=str(nyu_root / "cache"))
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        packed = [dataset[i] for i in range(NUM_FRAMES)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(1, 176, 176)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "root_depth", "focal", "principal_pt", "id", "input_center", "input_scale"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 14, 3)


# ---- the real centers


@pytest.fixture(scope="module")
def real_root(tmp_path_factory):
    """A2J's 8252 centers of the test split, with made-up joints: a hand around each center."""
    if not REAL_CENTERS.is_file():
        pytest.skip(f"A2J's centers are not at {REAL_CENTERS}")
    centers = scipy.io.loadmat(REAL_CENTERS)["centre_pixel"]
    uvd = np.repeat(centers.reshape(1, -1, 1, 3), 36, axis=2).repeat(3, axis=0)
    uvd[..., 0] += np.linspace(-40, 40, 36)
    folder = tmp_path_factory.mktemp("nyu")
    write_annotations(folder, {"joint_uvd": uvd, "centre_pixel": centers})
    return folder


def test_real_centers(real_root):
    columns = parse_nyu(real_root / JOINTS, real_root / CENTERS).columns
    assert len(columns["frame"]) == 8252  # none is faulty
    np.testing.assert_allclose(columns["center"][0], [217.14299152, 249.91393535, 761.99810791])  # read from the file
    side = np.diff(cube_box(columns["center"], 110).reshape(-1, 2, 2), axis=1)[:, 0]
    np.testing.assert_allclose(side * columns["center"][:, 2:] / [588.03, 587.07], 220)


def test_real_centers_become_samples(real_root):
    dataset = open_nyu(real_root, centers=CENTERS)
    assert len(dataset) == 8252
    sample = dataset.get_data_info(8251)
    assert sample["img_path"].endswith("depth_1_0008252.png")
    points, box = sample["keypoints"][0, :, :2], sample["bbox"][0]
    assert ((points > box[:2]) & (points < box[2:])).all()
