import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS
from rhp_fixture import coco, frame, frames, hand_m, open_rhp, sides_of, write_coco, write_rhp

import dfmamba.codecs  # noqa: F401, registers A2JCodec for the base config
from dfmamba.datasets.rhp.annotations import (
    parse_rhp,
    right_hand_first,
    seen_flags,
    side_with_most_pixels,
    side_with_most_seen_joints,
    with_wrist,
    wrist_last,
)
from dfmamba.datasets.rhp.dataset import RHPDataset
from dfmamba.datasets.transforms.augmentation import RandomHandFlip
from dfmamba.evaluation import RHPEPE, score_rhp
from dfmamba.geometry import back_project, project
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, WRIST, hand_slice

REPOSITORY = Path(__file__).parents[2]
REAL_SAMPLES = REPOSITORY.parent / "shared" / "data" / "rhd"


# ---- the conversions


def test_right_hand_comes_first_and_the_wrist_last():
    """RHD's order as its README writes it, against the names of the canonical order."""
    fingers = [f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in (4, 3, 2, 1)]
    hand = ["wrist", *fingers]
    official = np.array([f"left_{name}" for name in hand] + [f"right_{name}" for name in hand])
    assert right_hand_first(official).tolist() == list(TWO_HANDS.names)
    assert wrist_last(official[21:]).tolist() == list(TWO_HANDS.names[:21])


def test_flags():
    assert seen_flags(np.array([1.0, 0.0, 1.0])).tolist() == [True, False, True]


@pytest.mark.parametrize(("left", "right", "side"), [(3, 2, LEFT), (2, 3, RIGHT), (2, 2, RIGHT), (0, 0, RIGHT)])
def test_choice_of_the_hand(left, right, side):
    mask = np.ones((4, 40), dtype=np.uint8)  # the person
    mask[1, :left], mask[2, :right] = [2, 17, 9][:left], [18, 33, 20][:right]  # first, last and some other class
    assert side_with_most_pixels(mask) == side
    seen = np.zeros(42, dtype=bool)
    seen[hand_slice(LEFT)][:left] = seen[hand_slice(RIGHT)][:right] = True
    assert side_with_most_seen_joints(seen) == side


def test_a_wrist_out_of_sight_is_valid():
    seen = np.zeros(21, dtype=bool)
    seen[3] = True
    assert np.flatnonzero(with_wrist(seen)).tolist() == [3, WRIST]
    assert np.flatnonzero(seen).tolist() == [3]


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(rhp_root):
    sample = open_rhp(rhp_root).get_data_info(0)  # the right hand of frame 0
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 42, 3)
    wrist, tip, base = (TWO_HANDS.names.index(f"right_{name}") for name in ("wrist", "index4", "pinky1"))
    np.testing.assert_allclose(
        sample["keypoints_cam"][0, [wrist, tip, base]], [[100, 20, 800], [80, -60, 801], [140, 0, 804]], atol=1e-4
    )
    np.testing.assert_allclose(
        sample["keypoints"][0, [wrist, tip, base]],
        [
            [160 + 250 * 100 / 800, 150 + 300 * 20 / 800, 0],
            [160 + 250 * 80 / 801, 150 - 300 * 60 / 801, 1],
            [160 + 250 * 140 / 804, 150, 4],
        ],
        atol=1e-4,
    )
    assert not sample["keypoints_cam"][0, hand_slice(LEFT)].any()
    assert not sample["keypoints"][0, hand_slice(LEFT)].any()
    assert sample["keypoints_visible"][0].tolist() == [1] * 21 + [0] * 21
    assert sample["root_depth"].tolist() == [800] * 21 + [0] * 21
    assert sample["abs_depth"].tolist() == [800, 0]
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["hand_type_valid"].tolist() == [1]
    assert sample["rel_root_valid"].tolist() == sample["rel_root_depth"].tolist() == [0]
    assert sample["focal"].tolist() == [250, 300]
    assert sample["principal_pt"].tolist() == [160, 150]
    assert sample["img_path"] == str(rhp_root / "evaluation/color/00000.png")
    expected = {
        "id": 0,
        "img_id": 0,
        "seq_name": "evaluation",
        "camera": "",
        "capture": 0,
        "subject": 0,
        "frame_idx": 0,
        "rotation": 0,
        "dataset_name": "rhp",
        "sample_idx": 0,
    }
    assert {key: sample[key] for key in expected} == expected


def test_left_hand_is_in_the_second_block(rhp_root):
    sample = open_rhp(rhp_root).get_data_info(1)
    wrist = TWO_HANDS.names.index("left_wrist")
    np.testing.assert_allclose(sample["keypoints_cam"][0, wrist], [-100, 0, 500], atol=1e-4)
    assert not sample["keypoints_cam"][0, hand_slice(RIGHT)].any()
    assert sample["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    assert sample["root_depth"].tolist() == [0] * 21 + [500] * 21
    assert sample["abs_depth"].tolist() == [0, 500]
    assert sample["hand_type"].tolist() == [[0, 1]]


def test_box_is_the_enlarged_tight_box_of_the_valid_joints(rhp_root):
    sample = open_rhp(rhp_root).get_data_info(0)
    u0, u1 = 160 + 250 * 60 / 800, 160 + 250 * 140 / 804  # thumb and pinky
    v0, v1 = 150 - 300 * 60 / 800, 150 + 300 * 20 / 800  # thumb's tip and wrist
    u, v, half_u, half_v = (u0 + u1) / 2, (v0 + v1) / 2, 0.6 * (u1 - u0), 0.6 * (v1 - v0)
    np.testing.assert_allclose(sample["bbox"][0], [u - half_u, v - half_v, u + half_u, v + half_v], atol=1e-3)


def test_box_of_hidden_hands(tmp_path):
    content = frames()
    content[0], content[1] = frame(0, 8), frame(0, 1)  # ring finger and pinky are seen; the base of the pinky alone
    write_rhp(tmp_path, content)
    dataset = open_rhp(tmp_path, hand="right")
    ring_u, ring_tip_v = 160 + 250 * 120 / 803, 150 - 300 * 60 / 803
    pinky_u, base_v = 160 + 250 * 140 / 804, 150.0
    wrist_u, wrist_v = 160 + 250 * 100 / 800, 150 + 300 * 20 / 800
    expected = [[ring_u, ring_tip_v, pinky_u, base_v], [wrist_u, base_v, pinky_u, wrist_v]]
    for number, tight in enumerate(np.array(expected)):
        center, half = (tight[:2] + tight[2:]) / 2, 0.6 * (tight[2:] - tight[:2])
        np.testing.assert_allclose(
            dataset.get_data_info(number)["bbox"][0], [*(center - half), *(center + half)], atol=1e-3
        )


def test_only_seen_joints_and_the_wrist_are_valid(rhp_root):
    hidden = open_rhp(rhp_root, hand="left").get_data_info(0)  # only its last 10 joints are seen
    names = [name for name, valid in zip(TWO_HANDS.names, hidden["keypoints_visible"][0], strict=True) if valid]
    expected = [
        *(f"middle{i}" for i in (2, 1)),
        *(f"ring{i}" for i in (4, 3, 2, 1)),
        *(f"pinky{i}" for i in (4, 3, 2, 1)),
        "wrist",
    ]
    assert names == [f"left_{name}" for name in expected]
    assert not hidden["keypoints_cam"][0, hidden["keypoints_visible"][0] == 0].any()
    known = open_rhp(rhp_root, hand="left", validity="annotated").get_data_info(0)
    assert known["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21


@pytest.mark.parametrize(
    ("hand", "validity", "sides"),
    [
        ("prominent", "visible", {0: "r", 1: "l", 2: "r", 3: "r"}),
        ("most_pixels", "visible", {0: "r", 1: "l", 2: "r", 3: "r"}),
        ("most_visible", "visible", {0: "r", 1: "l", 2: "l", 3: "r"}),
        ("right", "visible", {0: "r", 1: "r", 2: "r", 3: "r"}),
        ("left", "visible", {0: "l", 1: "l", 2: "l", 3: "l"}),
        ("most_visible", "annotated", {0: "r", 1: "l", 2: "l", 3: "r", 4: "r"}),
    ],
)
def test_published_rules_for_the_hand(rhp_root, hand, validity, sides):
    dataset = open_rhp(rhp_root, hand=hand, validity=validity)
    assert sides_of(dataset) == sides
    source = dataset.metainfo["data_source"]
    assert (source["hand"], source["validity"], source["root_depth"]) == (hand, validity, "gt")


def test_the_other_rule_needs_no_masks(rhp_root):
    for path in (rhp_root / "evaluation/mask").iterdir():
        path.unlink()
    (rhp_root / "evaluation/mask").rmdir()
    assert len(open_rhp(rhp_root, hand="most_visible")) == 4
    with pytest.raises(FileNotFoundError, match=r"data_prefix\['mask'\][\s\S]*RHD_evaluation.json"):
        open_rhp(rhp_root)


def test_flip_twice_is_the_identity(rhp_root):
    sample = open_rhp(rhp_root).get_data_info(1)
    sample["img"] = np.zeros((320, 320, 3), dtype=np.uint8)
    once = RandomHandFlip(1.0)(sample.copy())
    assert once["hand_type"].tolist() == [[1, 0]]
    np.testing.assert_allclose(once["keypoints"][0, :21, 0], 319 - sample["keypoints"][0, 21:, 0], rtol=1e-6)
    twice = RandomHandFlip(1.0)(once.copy())
    for key in (
        "keypoints",
        "keypoints_cam",
        "keypoints_visible",
        "hand_type",
        "rel_root_depth",
        "abs_depth",
        "root_depth",
        "principal_pt",
        "bbox",
    ):
        np.testing.assert_allclose(twice[key], sample[key], atol=1e-4, err_msg=key)


def test_base_config(rhp_root):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/rhp.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.update(data_root=str(rhp_root), split="test")
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        packed = [dataset[i] for i in range(4)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(3, 256, 256)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "root_depth", "focal", "principal_pt", "hand_type", "id", "input_center"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 42, 3)


def test_projection_of_the_fixture(rhp_root):
    """The file's own image points, which the adapter does not read, are where the joints project to."""
    sample = open_rhp(rhp_root, validity="annotated").get_data_info(3)
    expected = frame()["uv_vis"][21:, :2]
    points = project(sample["keypoints_cam"][0, :21], sample["focal"], sample["principal_pt"])
    np.testing.assert_allclose(points[WRIST], expected[0], atol=1e-3)
    np.testing.assert_allclose(points[:WRIST], expected[1:], atol=1e-3)


def test_can_be_sent_to_a_worker_process(rhp_root):
    dataset = pickle.loads(pickle.dumps(open_rhp(rhp_root)))
    assert dataset.get_data_info(1)["abs_depth"].tolist() == [0, 500]


def test_metainfo(rhp_root):
    meta = open_rhp(rhp_root).metainfo
    assert meta["num_keypoints"] == 42
    assert meta["flip_indices"] == [*range(21, 42), *range(21)]
    assert meta["keypoint_id2name"][41] == "left_wrist"


# ---- the way to the protocol


def predictions_of(dataset):
    """The ground truth of all samples and, as a perfect model gives it, image points and depths lifted to space."""
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    lifted = [
        back_project(s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"])
        for s in samples
    ]
    return np.array(lifted), *(np.array([s[key][0] for s in samples]) for key in ("keypoints_cam", "keypoints_visible"))


def test_perfect_prediction_has_no_error(rhp_root):
    pred, gt, valid = predictions_of(open_rhp(rhp_root))
    metrics = score_rhp(pred, gt, valid).metrics
    assert metrics["EPE_rr_macro_mm"] == pytest.approx(0, abs=1e-3)
    assert metrics["hands"] == 4


def test_joint_moved_by_5_mm(rhp_root):
    """Four hands; one joint that all four see is 5 mm off in one of them, a hidden one does not count."""
    pred, gt, valid = predictions_of(open_rhp(rhp_root))  # of frames 0, 1, 2, 3: right, left, right, right
    pinky, thumb = TWO_HANDS.names.index("left_pinky1"), TWO_HANDS.names.index("right_thumb4")
    pred[1, pinky] += [3, 0, -4]
    assert not valid[2, thumb]
    pred[2, thumb] += 1000
    assert score_rhp(pred, gt, valid).metrics["EPE_rr_macro_mm"] == pytest.approx(5 / 4 / 21, abs=1e-3)


def test_metric_behind_the_pipeline(rhp_root):
    """As in `tools/test.py`: packed samples, and predictions in image px and mm relative to the wrist."""
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/rhp.py")
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = DATASETS.build(config.test_dataloader.dataset | {"data_root": str(rhp_root)})
    metric = RHPEPE()
    for i in range(len(dataset)):
        keypoints = dataset.get_data_info(i)["keypoints"]
        keypoints[0, TWO_HANDS.names.index("left_pinky1"), 2] += 5  # only of frame 1, the others have no left hand
        metric.process(None, [dataset[i]["data_samples"].to_dict() | {"pred_instances": {"keypoints": keypoints}}])
    depth = 504 + 5  # the joint moves along its ray: x changes, too; y is 0
    moved = np.hypot(-60 / 504 * depth + 60, 5)
    assert metric.evaluate(len(dataset))["rhp/EPE_rr_macro_mm"] == pytest.approx(moved / 4 / 21, abs=1e-3)


# ---- the JSON files


@pytest.mark.parametrize("form", ["internet", "mmpose"])
def test_json_and_pickle_give_the_same_samples(rhp_root, form):
    write_coco(rhp_root, coco(form, {0: "right", 1: "left", 2: "right", 3: "right"}))
    pickled, other = open_rhp(rhp_root), open_rhp(rhp_root, ann_file="RHD_evaluation.json")
    assert len(pickled) == len(other) == 4
    for i in range(4):
        a, b = pickled.get_data_info(i), other.get_data_info(i)
        assert b["id"] == 100 + a["id"]
        assert b["bbox"].tolist() == [[10, 20, 110, 80]]  # the file's
        for key in set(a) - {"id", "bbox"}:
            if isinstance(a[key], np.ndarray):
                np.testing.assert_allclose(a[key], b[key], atol=1e-3, err_msg=key)
            else:
                assert a[key] == b[key], key


def test_hand_of_a_json(rhp_root):
    write_coco(rhp_root, coco("internet", {0: "right", 1: "left", 3: "right"}))
    parsed = parse_rhp(rhp_root / "RHD_evaluation.json", hand="right")
    assert parsed.columns["annotation_id"].tolist() == [100, 103]
    assert parsed.skipped == {"hand not selected": 1}
    with pytest.raises(ValueError, match=r"hand: expected 'prominent', 'right' or 'left' for .*got 'most_visible'"):
        open_rhp(rhp_root, ann_file="RHD_evaluation.json", hand="most_visible")


@pytest.fixture
def real_samples():
    """Arguments that load the three published samples."""
    if not REAL_SAMPLES.is_dir():
        pytest.skip(f"the three published samples are not at {REAL_SAMPLES}")
    return {"data_root": str(REAL_SAMPLES), "ann_file": "test_rhd.json", "data_prefix": {"img": ""}}


def test_published_samples(real_samples):
    """Projection, order, unit and boxes against the numbers of the file itself."""
    dataset = RHPDataset("test", **real_samples)
    content = json.loads((REAL_SAMPLES / "test_rhd.json").read_text())
    records = {record["id"]: record for record in content["annotations"]}
    assert len(dataset) == len(records) == 3
    for i in range(3):
        sample = dataset.get_data_info(i)
        record = records[sample["id"]]
        side = LEFT if record["hand_type"] == "left" else RIGHT
        joints, points = (sample[key][0, hand_slice(side)] for key in ("keypoints_cam", "keypoints"))
        uv = np.array(record["keypoints"])[:, :2]
        np.testing.assert_allclose(joints[WRIST], record["joint_cam"][0], rtol=1e-6)
        np.testing.assert_allclose(joints[:WRIST], record["joint_cam"][1:], rtol=1e-6)
        assert np.abs(points[WRIST, :2] - uv[0]).max() < 0.1
        assert np.abs(points[:WRIST, :2] - uv[1:]).max() < 0.1
        x, y, w, h = record["bbox"]
        np.testing.assert_allclose(sample["bbox"][0], [x, y, x + w, y + h], rtol=1e-6)
        center, size = (uv.min(0) + uv.max(0)) / 2, 1.2 * (uv.max(0) - uv.min(0))
        np.testing.assert_allclose(record["bbox"], [*(center - size / 2), *size], atol=1e-3)
        assert 60 < np.linalg.norm(joints[TWO_HANDS.names.index("right_middle1")] - joints[WRIST]) < 110  # mm
        assert Path(sample["img_path"]).is_file()


def test_own_data_as_the_docs_say(tmp_path):
    """One image and one annotation with the keys of docs/data.md."""
    (tmp_path / "images/session1").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/session1/0001.jpg"), np.full((720, 1280, 3), 40, np.uint8))
    joints = (np.array(hand_m((0.1, 0.02, 0.8))) * 1000).tolist()
    image = {
        "id": 7,
        "file_name": "session1/0001.jpg",
        "width": 1280,
        "height": 720,
        "cam_param": {"focal": [1201.3, 1200.8], "princpt": [640.2, 359.6]},
    }
    annotation = {
        "id": 70,
        "image_id": 7,
        "hand_type": "right",
        "bbox": [412, 220, 190, 204],
        "joint_cam": joints,
        "joint_valid": [1] * 21,
    }
    for size in ((1280, 720), (0, 0)):
        write_coco(tmp_path, {"images": [image], "annotations": [annotation]}, "mine.json")
        dataset = open_rhp(
            tmp_path, ann_file="mine.json", data_prefix={"img": "images"}, pipeline=[{"type": "mmpose.LoadImage"}]
        )
        assert dataset.get_data_info(0)["image_size"].tolist() == list(size)
        sample = dataset[0]
        assert sample["img"].shape == (720, 1280, 3)
        np.testing.assert_allclose(sample["keypoints_cam"][0, TWO_HANDS.names.index("right_wrist")], [100, 20, 800])
        np.testing.assert_allclose(sample["keypoints_cam"][0, TWO_HANDS.names.index("right_thumb4")], [60, -60, 800])
        image.pop("width", None), image.pop("height", None)
