import doctest
import pickle
from pathlib import Path

import assemblyhands_fixture as fixture
import cv2
import numpy as np
import pytest
from assemblyhands_fixture import CROP, FIRST, SECOND, UNSET, contents, open_assemblyhands, paths, write_annotations
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS, METRICS

import dfmamba.codecs  # registers A2JCodec for the base config
import dfmamba.datasets.assemblyhands.annotations
import dfmamba.evaluation.metrics
from dfmamba.datasets import AssemblyHandsDataset, parse_assemblyhands
from dfmamba.datasets.assemblyhands.annotations import is_annotated, large_enough
from dfmamba.datasets.sample import mirror
from dfmamba.evaluation import score_assemblyhands
from dfmamba.evaluation.result_files import read_result_file
from dfmamba.geometry import back_project, project
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, hand_slice

REPOSITORY = Path(__file__).parents[2]
THUMB, WRIST = TWO_HANDS.names.index("right_thumb4"), TWO_HANDS.names.index("right_wrist")


def hands_of(columns):
    """Annotation id and side of each record."""
    return list(zip(columns["annotation_id"].tolist(), columns["side"].tolist(), strict=True))


def test_examples_in_docstrings():
    result = doctest.testmod(dfmamba.datasets.assemblyhands.annotations)
    assert result.attempted > 0
    assert result.failed == 0


# ---- the parser


def test_one_record_for_each_box(assemblyhands_root):
    parsed = parse_assemblyhands(*paths(assemblyhands_root))
    assert hands_of(parsed.columns) == [(11, RIGHT), (11, LEFT), (12, LEFT), (13, RIGHT), (14, RIGHT), (14, LEFT)]
    assert parsed.columns["joint_valid"].sum(axis=1).tolist() == [21, 21, 21, 20, 21, 10]
    assert parsed.skipped == {"fewer than 10 valid joints": 1, "root invalid": 1}
    assert len(parsed.columns["image_id"]) == 5
    assert len(parsed.columns["camera_name"]) == 3
    assert len(parsed.columns["world_mm"]) == 4


def test_two_cameras_of_a_frame_share_its_coordinates(assemblyhands_root):
    columns = parse_assemblyhands(*paths(assemblyhands_root)).columns
    frame = columns["frame"][columns["image"]]
    assert frame[0] == frame[2]  # annotations 11 and 12 are frame 10, seen by two cameras
    assert frame[0] != frame[3]


def test_mark_of_joints_without_coordinates():
    assert is_annotated([UNSET, [1, 1, 2], [0, 0, 0]]).tolist() == [False, True, True]


def test_joints_without_coordinates_are_not_valid(tmp_path):
    files = contents()
    coordinates = files["joint"]["annotations"][FIRST]["000012"]["world_coord"]
    coordinates[5] = UNSET  # though joint_valid says 1
    write_annotations(tmp_path, files)
    columns = parse_assemblyhands(*paths(tmp_path)).columns
    assert columns["joint_valid"][3].sum() == 19
    coordinates[:12] = [UNSET] * 12
    write_annotations(tmp_path, files)
    assert parse_assemblyhands(*paths(tmp_path)).skipped["coordinates withheld"] == 1


def test_held_out_split_has_no_sample(tmp_path):
    files = contents()
    for frames in files["joint"]["annotations"].values():
        for frame in frames.values():
            frame["world_coord"] = [UNSET] * 42
    write_annotations(tmp_path, files)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"expected at least one sample, got none.*coordinates withheld 7"):
        open_assemblyhands(tmp_path)


def test_wrist_without_coordinates(tmp_path):
    files = contents()
    files["joint"]["annotations"][SECOND]["000002"]["world_coord"][fixture.RIGHT_WRIST] = UNSET
    write_annotations(tmp_path, files)
    parsed = parse_assemblyhands(*paths(tmp_path))
    assert (14, RIGHT) not in hands_of(parsed.columns)
    assert parsed.skipped["root invalid"] == 2


def test_valid_joint_behind_the_camera(tmp_path):
    files = contents()
    files["calib"]["calibration"][SECOND]["extrinsics"]["000002"]["HMC_21176875_mono10bit"] = [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, -550],
    ]
    write_annotations(tmp_path, files)
    parsed = parse_assemblyhands(*paths(tmp_path))
    assert parsed.skipped["joint behind the camera"] == 2
    assert len(parsed.columns["image"]) == 4


def test_box_beside_the_image(tmp_path):
    files = contents()
    files["data"]["annotations"][2]["bbox"]["right"] = [636, 400, 700, 420]
    write_annotations(tmp_path, files)
    assert parse_assemblyhands(*paths(tmp_path)).skipped["box beside the image"] == 1


def test_invalid_file_of_the_toolkit(assemblyhands_root, log):
    name = contents()["data"]["images"][0]["file_name"]
    (assemblyhands_root / "invalid_val_ego.txt").write_text(f"{name},1\n{name.replace('10.jpg', '12.jpg')},0\n")
    dataset = open_assemblyhands(assemblyhands_root, invalid_file="invalid_val_ego.txt")
    assert hands_of(dataset.index.columns) == [(11, RIGHT), (12, LEFT), (14, RIGHT), (14, LEFT)]
    assert "named in the invalid file 2" in log.text
    assert len(open_assemblyhands(assemblyhands_root)) == 6  # another index
    (assemblyhands_root / "invalid_val_ego.txt").write_text(f"{name},1\n{name},right\n")
    with pytest.raises(ValueError, match=r"invalid_val_ego.txt: record \(line 2\): expected 'file_name,hand'"):
        open_assemblyhands(assemblyhands_root, invalid_file="invalid_val_ego.txt")
    with pytest.raises(FileNotFoundError, match="configuration key invalid_file"):
        open_assemblyhands(assemblyhands_root, invalid_file="none.txt")


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(assemblyhands_root):
    sample = open_assemblyhands(assemblyhands_root).get_data_info(0)
    np.testing.assert_allclose(sample["keypoints_cam"][0, [THUMB, WRIST]], [[0, 100, 500], [-20, 46, 400]])
    np.testing.assert_allclose(sample["keypoints"][0, [THUMB, WRIST]], [[318, 290, 100], [308, 268.75, 0]])
    assert sample["keypoints_visible"][0].tolist() == [1] * 21 + [0] * 21
    assert not sample["keypoints_cam"][0, hand_slice(LEFT)].any()
    assert not sample["keypoints"][0, hand_slice(LEFT)].any()
    assert sample["root_depth"].tolist() == [400] * 21 + [0] * 21
    assert sample["abs_depth"].tolist() == [400, 0]
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["bbox"].tolist() == [[300, 220, 420, 300]]
    assert sample["extrinsic"].tolist() == fixture.TURNED
    assert sample["focal"].tolist() == [200, 250]
    assert sample["principal_pt"].tolist() == [318, 240]
    file_name = f"ego_images_rectified/val/{FIRST}/HMC_84346135_mono10bit/000010.jpg"
    assert sample["img_path"] == str(assemblyhands_root / "images" / file_name)
    expected = {
        "id": 11,
        "img_id": 101,
        "seq_name": FIRST,
        "camera": "HMC_84346135",
        "frame_idx": 10,
        "rotation": 0,
        "dataset_name": "assemblyhands",
        "sample_idx": 0,
    }
    assert {key: sample[key] for key in expected} == expected


def test_left_hand_other_camera_other_frame(assemblyhands_root):
    dataset = open_assemblyhands(assemblyhands_root)
    left = dataset.get_data_info(1)
    assert left["img_path"] == dataset.get_data_info(0)["img_path"]
    assert left["hand_type"].tolist() == [[0, 1]]
    assert left["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    np.testing.assert_allclose(left["keypoints_cam"][0, 21], [-60 + 5, -30 + 6, 607])
    assert left["abs_depth"].tolist() == [0, 507]
    other = dataset.get_data_info(2)
    np.testing.assert_allclose(other["keypoints"][0, 41], [300 - 150 * 60 / 500, 200 + 150 * 30 / 500, 0], rtol=1e-6)
    later = dataset.get_data_info(3)  # headset and hand have moved
    np.testing.assert_allclose(later["keypoints_cam"][0, THUMB], [94 + 2, 5, 593])
    assert later["keypoints_visible"][0, 3] == 0
    assert not later["keypoints_cam"][0, 3].any()


def test_extrinsics_are_not_those_of_interhand(assemblyhands_root):
    """R X + t, not R (X - t): with the turn, the two differ even in length."""
    sample = open_assemblyhands(assemblyhands_root).get_data_info(0)
    world = np.array(fixture.world())[THUMB]
    matrix = np.array(fixture.TURNED)
    np.testing.assert_allclose(sample["keypoints_cam"][0, THUMB], matrix @ [*world, 1])
    assert not np.allclose(sample["keypoints_cam"][0, THUMB], matrix[:, :3] @ (world - matrix[:, 3]))


@pytest.mark.parametrize("row", range(6))
def test_z_and_projection_agree_with_space(assemblyhands_root, row):
    sample = open_assemblyhands(assemblyhands_root).get_data_info(row)
    valid = sample["keypoints_visible"][0] > 0
    joints, keypoints = sample["keypoints_cam"][0, valid], sample["keypoints"][0, valid]
    np.testing.assert_allclose(keypoints[:, 2] + sample["root_depth"][valid], joints[:, 2], rtol=1e-6)
    np.testing.assert_allclose(project(joints, sample["focal"], sample["principal_pt"]), keypoints[:, :2], rtol=1e-5)


@pytest.mark.parametrize("row", range(6))
def test_flipped_once_is_the_other_hand_and_twice_the_same(assemblyhands_root, row):
    sample = open_assemblyhands(assemblyhands_root).get_data_info(row)
    sample["img"] = np.zeros((480, 636, 3), dtype=np.uint8)
    flipped = dict(sample)
    mirror(flipped)
    assert flipped["hand_type"].tolist() == sample["hand_type"][:, ::-1].tolist()
    assert flipped["abs_depth"].tolist() == sample["abs_depth"][::-1].tolist()
    valid = flipped["keypoints_visible"][0] > 0
    assert valid.tolist() == np.roll(sample["keypoints_visible"][0] > 0, 21).tolist()
    np.testing.assert_allclose(
        project(flipped["keypoints_cam"][0, valid], flipped["focal"], flipped["principal_pt"]),
        flipped["keypoints"][0, valid, :2],
        rtol=1e-4,
    )
    mirror(flipped)
    for key in (
        "keypoints",
        "keypoints_cam",
        "keypoints_visible",
        "hand_type",
        "rel_root_depth",
        "abs_depth",
        "root_depth",
        "bbox",
        "principal_pt",
    ):
        np.testing.assert_allclose(flipped[key], sample[key], rtol=1e-6, atol=1e-4, err_msg=key)


# ---- the crop


def test_smallest_box():
    np.testing.assert_allclose(
        large_enough([600, 400, 636, 420]), [618 - 50 / 1.75, 410 - 50 / 1.75, 618 + 50 / 1.75, 410 + 50 / 1.75]
    )
    assert large_enough([0, 0, 100, 60]).tolist() == [0, 0, 100, 60]
    np.testing.assert_allclose(large_enough([0, 0, 100, 20]), [0, 10 - 50 / 1.75, 100, 10 + 50 / 1.75])


def toolkit_crop(box, points):
    """The toolkit's crop written out, in whole pixels, at least 100: points (n, 2) in the patch, and its side."""
    width, height = box[2] - box[0], box[3] - box[1]
    center = box[0] + width / 2, box[1] + height / 2
    side = max(int(1.75 * max(width, height)), 100)
    corner = int(center[0] - side / 2), int(center[1] - side / 2)
    return (points - corner) * 256 / side, side


@pytest.mark.parametrize("row", range(6))
def test_crop_is_the_toolkits(assemblyhands_root, row):
    sample = open_assemblyhands(assemblyhands_root, pipeline=CROP)[row]
    index = open_assemblyhands(assemblyhands_root).index
    valid = sample["keypoints_visible"][0] > 0
    points, side = toolkit_crop(index.columns["bbox_xyxy"][row], sample["keypoints"][0, valid, :2])
    np.testing.assert_allclose(sample["input_scale"], [side, side], atol=1)
    ours = sample["transformed_keypoints"][0, valid, :2]
    reach = np.abs(points - 128).max() / 256  # the side is rounded: farther out, that tells more
    np.testing.assert_allclose(ours, points, atol=(1.5 + reach) * 256 / side)


def test_crop_beyond_the_image_is_black(assemblyhands_root):
    """The box ends at the right border, and the crop goes on to x = 668."""
    sample = open_assemblyhands(assemblyhands_root, pipeline=CROP)[3]
    np.testing.assert_allclose(sample["input_center"], [618, 410])
    np.testing.assert_allclose(sample["input_scale"], [100, 100], rtol=1e-6)
    assert sample["img"].shape == (256, 256, 3)
    assert sample["img"][:, :165].min() > 150
    assert sample["img"][:, 185:].max() == 0  # 636 px is column (636 - 568) 2.56 = 174


def test_images_are_grey(assemblyhands_root):
    sample = open_assemblyhands(assemblyhands_root, pipeline=CROP)[0]
    image = cv2.imread(sample["img_path"], cv2.IMREAD_UNCHANGED)
    assert image.shape == (480, 636, 3)
    assert np.ptp(sample["img"], axis=2).max() == 0


# ---- the protocol


def test_perfect_and_moved_predictions(assemblyhands_root):
    dataset = open_assemblyhands(assemblyhands_root)
    samples = [dataset.get_data_info(i) for i in range(6)]
    gt, valid = (np.concatenate([sample[key] for sample in samples]) for key in ("keypoints_cam", "keypoints_visible"))
    lifted = np.stack(
        [
            back_project(
                sample["keypoints"][0, :, :2],
                sample["keypoints"][0, :, 2] + sample["root_depth"],
                sample["focal"],
                sample["principal_pt"],
            )
            for sample in samples
        ]
    )
    assert score_assemblyhands(lifted, gt, valid).metrics["MPJPE_rr_macro_mm"] < 1e-3  # float32
    assert score_assemblyhands(gt, gt, valid).metrics["MPJPE_rr_macro_mm"] == 0
    moved = gt.copy()
    moved[0, THUMB] += [3, 4, 0]  # one of three right hands
    metrics = score_assemblyhands(moved, gt, valid).metrics
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(5 / 3 / 42)
    assert metrics["hands"] == 6
    moved = gt.copy()
    moved[0, WRIST, 2] += 5  # moves all other joints against the wrist; joint 3 has two samples
    metrics = score_assemblyhands(moved, gt, valid).metrics
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx((19 * 5 / 3 + 5 / 2) / 42)


def test_from_the_pipeline_to_the_metric_and_its_result_file(assemblyhands_root):
    """The config's pipeline and metric; a perfect model's image points and depths; the file is in the world again."""
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/assemblyhands.py")
    config.val_dataloader.dataset.update(data_root=str(assemblyhands_root), cache_dir=str(assemblyhands_root / "cache"))
    result_file = assemblyhands_root / "result.json"
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = DATASETS.build(config.val_dataloader.dataset)
        metric = METRICS.build(config.val_evaluator | {"result_file": str(result_file)})
    for i in range(len(dataset)):
        sample = dataset[i]["data_samples"].to_dict()
        sample["pred_instances"] = {"keypoints": dataset.get_data_info(i)["keypoints"].copy()}
        if i == 3:  # 4 mm to the right, and no depth: a point that all of its hand's samples have
            sample["pred_instances"]["keypoints"][0, THUMB, 0] += 4 * 200 / 593
        metric.process({}, [sample])
    metrics = metric.evaluate(len(dataset))
    assert metrics["assemblyhands/MPJPE_rr_macro_mm"] == pytest.approx(4 / 3 / 42, abs=1e-4)
    table = read_result_file("assemblyhands", result_file)
    assert table.ids == [f"{FIRST}/000010", f"{FIRST}/000012", f"{SECOND}/000002"]
    frame = table.joints_mm[0]
    np.testing.assert_allclose(frame, fixture.world(), atol=1e-3)  # the left hand: the mean of two cameras


# ---- the data set


def test_log_and_metainfo(assemblyhands_root, log):
    meta = open_assemblyhands(assemblyhands_root).metainfo
    assert "AssemblyHandsDataset: 6 used, 2 skipped: root invalid 1, fewer than 10 valid joints 1" in log.text
    assert meta["flip_indices"] == [*range(21, 42), *range(21)]
    assert meta["data_source"]["num_samples"] == 6
    assert meta["data_source"]["root_depth"] == "gt"
    assert 5 <= len(AssemblyHandsDataset.EXPECTED_LAYOUT.splitlines()) <= 8


def test_can_be_sent_to_a_worker_process(assemblyhands_root):
    dataset = pickle.loads(pickle.dumps(open_assemblyhands(assemblyhands_root)))
    assert dataset.get_data_info(3)["id"] == 13


def test_base_config(assemblyhands_root):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/assemblyhands.py")
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.update(
            data_root=str(assemblyhands_root), split="val", cache_dir=str(assemblyhands_root / "cache")
        )
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        packed = [dataset[i] for i in range(6)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(3, 256, 256)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "root_depth", "focal", "principal_pt", "hand_type", "id", "extrinsic"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 42, 3)
