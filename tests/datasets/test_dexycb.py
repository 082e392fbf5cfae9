import pickle
from pathlib import Path

import numpy as np
import pytest
from dexycb_fixture import (
    SELECTION,
    SEQUENCES_PER_SUBJECT,
    SERIALS,
    SUBJECTS,
    label,
    num_frames,
    open_dexycb,
    view_folder,
    write_label,
)
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS

import dfmamba.codecs  # registers A2JCodec for the base config
import dfmamba.datasets.dexycb.annotations
import dfmamba.io.files
from dfmamba.datasets.dexycb.annotations import (
    box_of_hand_pixels,
    camera_major_ids,
    has_hand,
    parse_dexycb,
    tip_first_wrist_last,
)
from dfmamba.datasets.dexycb.dataset import DexYCBDataset
from dfmamba.datasets.dexycb.recordings import side_of_mano
from dfmamba.datasets.dexycb.results import read_dexycb_text
from dfmamba.datasets.transforms.augmentation import RandomHandFlip
from dfmamba.evaluation import DexYCBMPJPE, score_dexycb
from dfmamba.geometry import back_project, move_rigidly
from dfmamba.skeleton import LEFT, ONE_HAND, RIGHT

REPOSITORY = Path(__file__).parents[2]


# ---- the conversions


def test_wrist_comes_last_and_tips_first():
    """The order of `joint_3d` as the toolkit names it, against the names of the canonical order."""
    official = [
        "wrist",
        "thumb_mcp",
        "thumb_pip",
        "thumb_dip",
        "thumb_tip",
        "index_mcp",
        "index_pip",
        "index_dip",
        "index_tip",
        "middle_mcp",
        "middle_pip",
        "middle_dip",
        "middle_tip",
        "ring_mcp",
        "ring_pip",
        "ring_dip",
        "ring_tip",
        "little_mcp",
        "little_pip",
        "little_dip",
        "little_tip",
    ]
    numbers = {"tip": "4", "dip": "3", "pip": "2", "mcp": "1"}
    renamed = [
        name if name == "wrist" else name[:-4].replace("little", "pinky") + numbers[name[-3:]] for name in official
    ]
    assert tip_first_wrist_last(np.array(renamed)).tolist() == list(ONE_HAND.names)


def test_minus_one_everywhere_is_no_hand():
    joints = np.full((21, 3), -1.0)
    assert not has_hand(joints)
    joints[7, 1] = -0.5
    assert has_hand(joints)


def test_side_of_mano():
    assert side_of_mano(Path("meta.yml"), ["right"]) == RIGHT
    assert side_of_mano(Path("meta.yml"), ("left",)) == LEFT


def test_camera_major_ids():
    """All frames of the first camera come before those of the second."""
    assert camera_major_ids(100, 0, 72, [0, 1, 71]).tolist() == [100, 101, 171]
    assert camera_major_ids(100, 2, 72, [0, 5]).tolist() == [100 + 144, 100 + 149]


def test_box_of_hand_pixels():
    segmentation = np.zeros((480, 640), dtype=np.uint8)
    segmentation[0, 0] = 21  # an object
    assert box_of_hand_pixels(segmentation) is None
    segmentation[[100, 139], [50, 69]] = 255
    assert box_of_hand_pixels(segmentation).tolist() == [50, 100, 20, 40]


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(dexycb_root):
    dataset = open_dexycb(dexycb_root)
    sample = dataset.get_data_info(5)  # recordings 0 (1 frame with a hand), 1 (2) of 2 cameras each: now camera 1
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 21, 3)
    wrist, tip, base = (ONE_HAND.names.index(name) for name in ("wrist", "index4", "pinky1"))
    np.testing.assert_allclose(
        sample["keypoints_cam"][0, [wrist, tip, base]], [[10, 20, 900], [-10, -60, 901], [50, 0, 904]], atol=1e-4
    )
    np.testing.assert_allclose(
        sample["keypoints"][0, [wrist, tip, base]],
        [
            [320 + 600 * 10 / 900, 240 + 500 * 20 / 900, 0],
            [320 - 600 * 10 / 901, 240 - 500 * 60 / 901, 1],
            [320 + 600 * 50 / 904, 240, 4],
        ],
        atol=1e-4,
    )
    assert sample["keypoints_visible"].tolist() == [[1] * 21]
    assert sample["root_depth"].tolist() == [900] * 21
    assert sample["abs_depth"].tolist() == [900, 0]
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["focal"].tolist() == [600, 500]
    assert sample["principal_pt"].tolist() == [320, 240]
    path = f"{SUBJECTS[0]}/20200709_141701/{SERIALS[1]}/color_000001.jpg"
    assert sample["img_path"] == str(dexycb_root / path)
    expected = {
        "id": 4 + 3 + 1,
        "img_id": 4 + 3 + 1,
        "seq_name": f"{SUBJECTS[0]}/20200709_141701",
        "camera": SERIALS[1],
        "capture": 1,
        "subject": 0,
        "frame_idx": 1,
        "rotation": 0,
        "dataset_name": "dexycb",
        "sample_idx": 5,
    }
    assert {key: sample[key] for key in expected} == expected


def test_left_hands_stay_left(dexycb_root):
    sample = open_dexycb(dexycb_root, subjects=[SUBJECTS[1]]).get_data_info(0)
    assert sample["hand_type"].tolist() == [[0, 1]]
    assert sample["abs_depth"].tolist() == [0, 900]
    assert sample["subject"] == 5
    np.testing.assert_allclose(sample["keypoints_cam"][0, 0], [-40, -80, 900], atol=1e-4)  # thumb4, not mirrored


@pytest.mark.parametrize(("split", "numbers"), [("train", (0, 1, 2, 3)), ("test", (4,))])
def test_ids_count_images_without_a_hand(dexycb_root, split, numbers):
    """The toolkit's index: subject, recording, camera, frame; written out as plain loops."""
    expected, next_id = [], 0
    for subject in SUBJECTS:
        for number in numbers:
            for serial in SERIALS:
                for frame in range(num_frames(number)):
                    if frame < num_frames(number) - 1:  # the last frame has no hand
                        expected.append((next_id, subject, number, serial, frame))
                    next_id += 1
    dataset = open_dexycb(dexycb_root, split=split)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [
        (s["id"], s["seq_name"].split("/")[0], s["capture"], s["camera"], s["frame_idx"]) for s in samples
    ] == expected
    assert dataset.index.skipped == {"no hand": next_id - len(expected)}
    assert all(Path(sample["img_path"]).is_file() for sample in samples)


def test_part_of_the_set(dexycb_root):
    dataset = open_dexycb(dexycb_root, serials=SERIALS[1:], sequences=[3, 1], subjects=SUBJECTS[1:])
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [sample["capture"] for sample in samples] == [3, 3, 3, 3, 1, 1]
    assert [sample["id"] for sample in samples] == [0, 1, 2, 3, 5, 6]
    source = dataset.metainfo["data_source"]
    assert (source["setup"], source["split"], source["box"], source["root_depth"]) == ("s0", "train", "joints", "gt")
    assert source["sequences"] == (3, 1)
    assert source["sequences_per_subject"] == SEQUENCES_PER_SUBJECT


def test_box_of_the_joints(dexycb_root):
    u0, u1 = 320 - 600 * 40 / 900, 320 + 600 * 40 / 904  # thumb and pinky of the first frame
    v0, v1 = 240 - 500 * 80 / 900, 240.0  # the thumb's tip and the wrist
    u, v, half_u, half_v = (u0 + u1) / 2, (v0 + v1) / 2, 0.6 * (u1 - u0), 0.6 * (v1 - v0)
    np.testing.assert_allclose(
        open_dexycb(dexycb_root).get_data_info(0)["bbox"][0],
        [u - half_u, v - half_v, u + half_u, v + half_v],
        atol=1e-3,
    )


def test_box_of_the_segmentation(dexycb_root):
    hidden = label(0, 1)
    hidden["seg"][hidden["seg"] == 255] = 0
    write_label(dexycb_root, hidden, 0, camera=1)
    dataset = open_dexycb(dexycb_root, box="segmentation")
    assert dataset.get_data_info(0)["bbox"].tolist() == [[300, 200, 331, 241]]
    assert dataset.index.skipped == {"no hand": 16, "no hand pixels": 1}
    faulty = label(0, 1) | {"seg": np.zeros((480, 640, 3), dtype=np.uint8)}
    write_label(dexycb_root, faulty, 0, camera=1)
    with pytest.raises(ValueError, match=r"record 0: expected 'seg' \(480, 640\) of whole numbers"):
        parse_dexycb(dexycb_root, SELECTION, "segmentation")


def test_flip_twice_is_the_identity(dexycb_root):
    sample = open_dexycb(dexycb_root).get_data_info(5)
    sample["img"] = np.zeros((480, 640, 3), dtype=np.uint8)
    once = RandomHandFlip(1.0)(sample.copy())
    assert once["hand_type"].tolist() == [[0, 1]]
    assert once["abs_depth"].tolist() == [0, 900]
    np.testing.assert_allclose(once["keypoints"][..., 0], 639 - sample["keypoints"][..., 0])
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


@pytest.mark.slow
def test_several_processes_read_the_same(dexycb_root, monkeypatch):
    one = parse_dexycb(dexycb_root, SELECTION)
    monkeypatch.setattr(dfmamba.datasets.dexycb.annotations, "MIN_VIEWS_FOR_WORKERS", 1)
    two = parse_dexycb(dexycb_root, SELECTION, workers=2)
    assert one.skipped == two.skipped == {"no hand": 16}
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, two.columns[name], err_msg=name)


def test_base_config(dexycb_root):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/dexycb.py")
    for loader, count in ((config.train_dataloader, 40), (config.val_dataloader, 20), (config.test_dataloader, 20)):
        loader.dataset.update(
            data_root=str(dexycb_root), subjects=SUBJECTS, serials=SERIALS, sequences_per_subject=SEQUENCES_PER_SUBJECT
        )
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == count
        packed = [dataset[i] for i in (0, count - 1)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(3, 256, 256)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "root_depth", "focal", "principal_pt", "hand_type", "id", "input_center"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 21, 3)


def test_split_of_the_official_tree():
    dataset = DexYCBDataset("s1", "test", data_root="nowhere", lazy_init=True)
    assert dataset.selection.subjects == ("20201002-subject-08", "20201015-subject-09")
    assert dataset.selection.serials[0] == "836212060125"
    assert len(dataset.selection.serials) == 8
    assert len(dataset.selection.sequences) == dataset.selection.sequences_per_subject == 100


# ---- the way to the protocol


def predictions_of(dataset):
    """The ground truth of all samples and, as a perfect model gives it, image points and depths lifted to space."""
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    lifted = [
        back_project(s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"])
        for s in samples
    ]
    return np.array(lifted), np.array([s["keypoints_cam"][0] for s in samples])


def test_perfect_prediction_has_no_error(dexycb_root):
    metrics = score_dexycb(*predictions_of(open_dexycb(dexycb_root))).metrics
    for name in ("MPJPE_abs_macro_mm", "MPJPE_rr_macro_mm", "PA_MPJPE_macro_mm"):
        assert metrics[name] == pytest.approx(0, abs=1e-3), name
    assert metrics["hands"] == 40


def test_joint_moved_by_5_mm(dexycb_root):
    pred, gt = predictions_of(open_dexycb(dexycb_root))
    pred[7, 3] += [3, 0, -4]
    metrics = score_dexycb(pred, gt).metrics
    assert metrics["MPJPE_abs_macro_mm"] == pytest.approx(5 / 40 / 21, abs=1e-3)
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(5 / 40 / 21, abs=1e-3)
    shifted = score_dexycb(gt + np.array([0, 30, 40]), gt).metrics
    assert shifted["MPJPE_abs_macro_mm"] == pytest.approx(50, abs=1e-3)
    assert shifted["MPJPE_rr_macro_mm"] == pytest.approx(0, abs=1e-3)


def test_errors_after_alignment(dexycb_root):
    """Root-relative errors ignore a shift, Procrustes-aligned ones also a turn and another size."""
    pred, gt = predictions_of(open_dexycb(dexycb_root))
    pred[:, 4] += [0, 6, 8]
    plain = score_dexycb(pred, gt).metrics
    shifted = score_dexycb(pred + np.array([100, -50, 30]), gt).metrics
    assert shifted["MPJPE_rr_macro_mm"] == pytest.approx(plain["MPJPE_rr_macro_mm"], abs=1e-3)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    similar = score_dexycb(1.5 * move_rigidly(gt, turn, [100, 0, 0]), gt).metrics
    assert similar["PA_MPJPE_macro_mm"] == pytest.approx(0, abs=1e-3)
    assert similar["MPJPE_rr_macro_mm"] > 10


def test_metric_and_result_file_behind_the_pipeline(dexycb_root, tmp_path):
    """As in `tools/test.py`: packed samples, and predictions in image px and mm relative to the wrist."""
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/dexycb.py")
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = DATASETS.build(
            config.test_dataloader.dataset
            | {
                "data_root": str(dexycb_root),
                "subjects": SUBJECTS,
                "serials": SERIALS,
                "sequences_per_subject": SEQUENCES_PER_SUBJECT,
            }
        )
    metric = DexYCBMPJPE(result_file=str(tmp_path / "result.txt"))
    index_tip = ONE_HAND.names.index("index4")
    for i in range(len(dataset)):
        sample = dataset.get_data_info(i)
        sample["keypoints"][0, index_tip, :2] += np.array([3, 4]) * sample["focal"] / 901  # 3 and 4 mm at its depth
        metric.process(
            None, [dataset[i]["data_samples"].to_dict() | {"pred_instances": {"keypoints": sample["keypoints"]}}]
        )
    result = metric.evaluate(len(dataset))
    assert result["dexycb/MPJPE_abs_macro_mm"] == pytest.approx(5 / 21, abs=1e-3)
    assert result["dexycb/MPJPE_rr_macro_mm"] == pytest.approx(5 / 21, abs=1e-3)
    written = read_dexycb_text(tmp_path / "result.txt")
    assert list(written.ids) == [dataset.get_data_info(i)["id"] for i in range(len(dataset))]
    gt = dataset.get_data_info(3)["keypoints_cam"][0]
    np.testing.assert_allclose(written.joints_mm[3][index_tip], gt[index_tip] + [3, 4, 0], atol=1e-3)
    np.testing.assert_allclose(written.joints_mm[3][:4], gt[:4], atol=1e-3)
    first_line = (tmp_path / "result.txt").read_text().splitlines()[0].split(",")
    assert len(first_line) == 64
    np.testing.assert_allclose([float(number) for number in first_line[1:4]], [0, 0, 900], atol=1e-3)  # the wrist


# ---- the index


def test_can_be_sent_to_a_worker_process(dexycb_root):
    dataset = open_dexycb(dexycb_root)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.get_data_info(5)["id"] == dataset.get_data_info(5)["id"] == 8


def test_metainfo(dexycb_root):
    meta = open_dexycb(dexycb_root).metainfo
    assert meta["num_keypoints"] == 21
    assert meta["flip_indices"] == list(range(21))
    assert meta["keypoint_id2name"][20] == "wrist"


def test_index_follows_the_files(dexycb_root):
    path = view_folder(dexycb_root) / "labels_000000.npz"
    content = path.read_bytes()
    path.unlink()
    incomplete = open_dexycb(dexycb_root, faulty="skip")
    assert incomplete.index.skipped == {"no hand": 16, "faulty record": 1}
    path.write_bytes(content)
    assert len(open_dexycb(dexycb_root, faulty="skip")) == len(incomplete) + 1
    folder = view_folder(dexycb_root).parent
    folder.rename(folder.with_name("20200709_100000"))
    renamed = open_dexycb(dexycb_root, faulty="skip").get_data_info(0)
    assert renamed["seq_name"] == f"{SUBJECTS[0]}/20200709_100000"
    other_camera = open_dexycb(dexycb_root, faulty="skip", serials=SERIALS[::-1]).get_data_info(0)
    assert other_camera["camera"] == SERIALS[1]
