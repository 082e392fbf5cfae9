import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from dexycb_fixture import (
    SEQUENCES_PER_SUBJECT,
    SERIALS,
    SUBJECTS,
    label,
    meta,
    num_frames,
    recording_names,
    view_folder,
    write_dexycb,
    write_label,
)
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS

import dfmamba.codecs  # registers A2JCodec for the base config
import dfmamba.datasets.dexycb_annotations
import dfmamba.datasets.files
from dfmamba.datasets.dexycb import DexYCBDataset
from dfmamba.datasets.dexycb_annotations import (
    box_of_hand_pixels,
    camera_major_ids,
    has_hand,
    parse_dexycb,
    tip_first_wrist_last,
)
from dfmamba.datasets.dexycb_calibration import read_extrinsics
from dfmamba.datasets.dexycb_recordings import Selection, side_of_mano
from dfmamba.datasets.dexycb_splits import SETUPS, get_split
from dfmamba.datasets.transforms import RandomHandFlip
from dfmamba.evaluation import DexYCBMPJPE, score_dexycb
from dfmamba.evaluation.result_files import read_dexycb_text
from dfmamba.geometry import back_project, invert_rigid, move_rigidly
from dfmamba.skeleton import LEFT, ONE_HAND, RIGHT

REPOSITORY = Path(__file__).parents[2]
NAN = float("nan")
SELECTION = Selection(SUBJECTS, SERIALS, (0, 1, 2, 3), SEQUENCES_PER_SUBJECT)  # s0's train in the small tree


@pytest.fixture(scope="session")
def whole_tree(tmp_path_factory):
    """The small set, written once."""
    root = tmp_path_factory.mktemp("dexycb") / "set"
    write_dexycb(root)
    return root


@pytest.fixture
def dexycb_root(whole_tree, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(whole_tree, tmp_path / "DexYCB")


def dataset_at(root, setup="s0", split="train", **arguments):
    return DexYCBDataset(setup, split, **{
        "data_root": str(root), "subjects": SUBJECTS, "serials": SERIALS,
        "sequences_per_subject": SEQUENCES_PER_SUBJECT, "index_workers": 1} | arguments)


# ---- the conversions


def test_wrist_comes_last_and_tips_first():
    """The order of `joint_3d` as the toolkit names it, against the names of the canonical order."""
    official = ["wrist", "thumb_mcp", "thumb_pip", "thumb_dip", "thumb_tip", "index_mcp", "index_pip", "index_dip",
                "index_tip", "middle_mcp", "middle_pip", "middle_dip", "middle_tip", "ring_mcp", "ring_pip", "ring_dip",
                "ring_tip", "little_mcp", "little_pip", "little_dip", "little_tip"]
    numbers = {"tip": "4", "dip": "3", "pip": "2", "mcp": "1"}
    renamed = [name if name == "wrist" else name[:-4].replace("little", "pinky") + numbers[name[-3:]]
               for name in official]
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


def test_extrinsics_lead_from_the_camera_to_the_world(tmp_path):
    """A turn by 90 degrees and a shift; the file has Python's tuples, as the official ones."""
    path = tmp_path / "extrinsics.yml"
    matrix = (0.0, -1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.25, 0.0, 0.0, 1.0, -1.0)
    path.write_text(yaml.dump({"extrinsics": {"836212060125": matrix, "apriltag": matrix}, "master": "836212060125"}))
    assert "!!python/tuple" in path.read_text()
    rotation, translation = read_extrinsics(path, "836212060125")
    world = move_rigidly([[0.1, 0.2, 0.9]], rotation, translation)
    np.testing.assert_allclose(world, [[-0.2 + 0.5, 0.1 + 0.25, 0.9 - 1.0]])
    np.testing.assert_allclose(move_rigidly(world, *invert_rigid(rotation, translation)), [[0.1, 0.2, 0.9]])


@pytest.mark.parametrize(("matrix", "message"), [
    ([1.0] * 12, "record 836212060125: expected 12 numbers"),
    ([-1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "with a rotation R"),  # a mirror
    ([1.0, 0, 0, NAN, 0, 1, 0, 0, 0, 0, 1, 0], "with a rotation R"),
    ([1.0] * 9, r"shape \(12,\)"),
    (None, "the camera '836212060125'"),
])
def test_faulty_extrinsics(tmp_path, matrix, message):
    path = tmp_path / "extrinsics.yml"
    path.write_text(yaml.safe_dump({"extrinsics": {"836212060125": matrix} if matrix else {}}))
    with pytest.raises(ValueError, match=message) as error:
        read_extrinsics(path, "836212060125")
    assert str(path) in str(error.value)


# ---- the splits


def members(setup, split):
    """The triples (subject, camera, recording) of a split, by the table of the specification."""
    everything = [(subject, camera, i) for subject in range(10) for camera in range(8) for i in range(100)]
    rules = {
        ("s0", "train"): lambda s, c, i: i % 5 != 4,
        ("s0", "val"): lambda s, c, i: s in (0, 1) and i % 5 == 4,
        ("s0", "test"): lambda s, c, i: s >= 2 and i % 5 == 4,
        ("s1", "train"): lambda s, c, i: s <= 5 or s == 9,
        ("s1", "val"): lambda s, c, i: s == 6,
        ("s1", "test"): lambda s, c, i: s in (7, 8),
        ("s2", "train"): lambda s, c, i: c <= 5,
        ("s2", "val"): lambda s, c, i: c == 6,
        ("s2", "test"): lambda s, c, i: c == 7,
        ("s3", "train"): lambda s, c, i: i // 5 not in (3, 7, 11, 15, 19),
        ("s3", "val"): lambda s, c, i: i // 5 in (3, 19),
        ("s3", "test"): lambda s, c, i: i // 5 in (7, 11, 15),
    }
    return {triple for triple in everything if rules[setup, split](*triple)}


@pytest.mark.parametrize("setup", SETUPS)
def test_splits(setup):
    parts = []
    for name in ("train", "val", "test"):
        split = get_split(setup, name)
        triples = [(s, c, i) for s in split.subjects for c in split.cameras for i in split.sequences]
        assert len(triples) == len(set(triples))
        assert set(triples) == members(setup, name)
        parts.append(set(triples))
    assert len(set.union(*parts)) == sum(map(len, parts)) == 8000  # disjoint, and nothing is left out


def test_split_of_the_official_tree():
    dataset = DexYCBDataset("s1", "test", data_root="nowhere", lazy_init=True)
    assert dataset.selection.subjects == ("20201002-subject-08", "20201015-subject-09")
    assert dataset.selection.serials[0] == "836212060125"
    assert len(dataset.selection.serials) == 8
    assert len(dataset.selection.sequences) == dataset.selection.sequences_per_subject == 100


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(dexycb_root):
    dataset = dataset_at(dexycb_root)
    sample = dataset.get_data_info(5)  # recordings 0 (1 frame with a hand), 1 (2) of 2 cameras each: now camera 1
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 21, 3)
    wrist, tip, base = (ONE_HAND.names.index(name) for name in ("wrist", "index4", "pinky1"))
    np.testing.assert_allclose(sample["keypoints_cam"][0, [wrist, tip, base]],
                               [[10, 20, 900], [-10, -60, 901], [50, 0, 904]], atol=1e-4)
    np.testing.assert_allclose(
        sample["keypoints"][0, [wrist, tip, base]],
        [[320 + 600 * 10 / 900, 240 + 500 * 20 / 900, 0], [320 - 600 * 10 / 901, 240 - 500 * 60 / 901, 1],
         [320 + 600 * 50 / 904, 240, 4]], atol=1e-4)
    assert sample["keypoints_visible"].tolist() == [[1] * 21]
    assert sample["root_depth"].tolist() == [900] * 21
    assert sample["abs_depth"].tolist() == [900, 0]
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["focal"].tolist() == [600, 500]
    assert sample["principal_pt"].tolist() == [320, 240]
    path = f"{SUBJECTS[0]}/20200709_141701/{SERIALS[1]}/color_000001.jpg"
    assert sample["img_path"] == str(dexycb_root / path)
    expected = {"id": 4 + 3 + 1, "img_id": 4 + 3 + 1, "seq_name": f"{SUBJECTS[0]}/20200709_141701",
                "camera": SERIALS[1], "capture": 1, "subject": 0, "frame_idx": 1, "rotation": 0,
                "dataset_name": "dexycb", "sample_idx": 5}
    assert {key: sample[key] for key in expected} == expected


def test_left_hands_stay_left(dexycb_root):
    sample = dataset_at(dexycb_root, subjects=[SUBJECTS[1]]).get_data_info(0)
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
    dataset = dataset_at(dexycb_root, split=split)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(s["id"], s["seq_name"].split("/")[0], s["capture"], s["camera"], s["frame_idx"])
            for s in samples] == expected
    assert dataset.index.skipped == {"no hand": next_id - len(expected)}
    assert all(Path(sample["img_path"]).is_file() for sample in samples)


def test_part_of_the_set(dexycb_root):
    dataset = dataset_at(dexycb_root, serials=SERIALS[1:], sequences=[3, 1], subjects=SUBJECTS[1:])
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
    np.testing.assert_allclose(dataset_at(dexycb_root).get_data_info(0)["bbox"][0],
                               [u - half_u, v - half_v, u + half_u, v + half_v], atol=1e-3)


def test_box_of_the_segmentation(dexycb_root):
    hidden = label(0, 1)
    hidden["seg"][hidden["seg"] == 255] = 0
    write_label(dexycb_root, hidden, 0, camera=1)
    dataset = dataset_at(dexycb_root, box="segmentation")
    assert dataset.get_data_info(0)["bbox"].tolist() == [[300, 200, 331, 241]]
    assert dataset.index.skipped == {"no hand": 16, "no hand pixels": 1}
    faulty = label(0, 1) | {"seg": np.zeros((480, 640, 3), dtype=np.uint8)}
    write_label(dexycb_root, faulty, 0, camera=1)
    with pytest.raises(ValueError, match=r"record 0: expected 'seg' \(480, 640\) of whole numbers"):
        parse_dexycb(dexycb_root, SELECTION, "segmentation")


def test_flip_twice_is_the_identity(dexycb_root):
    sample = dataset_at(dexycb_root).get_data_info(5)
    sample["img"] = np.zeros((480, 640, 3), dtype=np.uint8)
    once = RandomHandFlip(1.0)(sample.copy())
    assert once["hand_type"].tolist() == [[0, 1]]
    assert once["abs_depth"].tolist() == [0, 900]
    np.testing.assert_allclose(once["keypoints"][..., 0], 639 - sample["keypoints"][..., 0])
    twice = RandomHandFlip(1.0)(once.copy())
    for key in ("keypoints", "keypoints_cam", "keypoints_visible", "hand_type", "rel_root_depth", "abs_depth",
                "root_depth", "principal_pt", "bbox"):
        np.testing.assert_allclose(twice[key], sample[key], atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_several_processes_read_the_same(dexycb_root, monkeypatch):
    one = parse_dexycb(dexycb_root, SELECTION)
    monkeypatch.setattr(dfmamba.datasets.dexycb_annotations, "MIN_VIEWS_FOR_WORKERS", 1)
    two = parse_dexycb(dexycb_root, SELECTION, workers=2)
    assert one.skipped == two.skipped == {"no hand": 16}
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, two.columns[name], err_msg=name)


def test_base_config(dexycb_root):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/dexycb.py")
    for loader, count in ((config.train_dataloader, 40), (config.val_dataloader, 20), (config.test_dataloader, 20)):
        loader.dataset.update(data_root=str(dexycb_root), subjects=SUBJECTS, serials=SERIALS,
                              sequences_per_subject=SEQUENCES_PER_SUBJECT)
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == count
        packed = [dataset[i] for i in (0, count - 1)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(3, 256, 256)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "root_depth", "focal", "principal_pt", "hand_type", "id", "input_center"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 21, 3)


# ---- the way to the protocol


def predictions_of(dataset):
    """The truth of all samples and, as a perfect model would give it, image points and depths lifted to space."""
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    lifted = [back_project(s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"],
                           s["principal_pt"]) for s in samples]
    return np.array(lifted), np.array([s["keypoints_cam"][0] for s in samples])


def test_perfect_prediction_has_no_error(dexycb_root):
    metrics = score_dexycb(*predictions_of(dataset_at(dexycb_root))).metrics
    for name in ("MPJPE_abs_macro_mm", "MPJPE_rr_macro_mm", "PA_MPJPE_macro_mm"):
        assert metrics[name] == pytest.approx(0, abs=1e-3), name
    assert metrics["hands"] == 40


def test_joint_moved_by_5_mm(dexycb_root):
    pred, truth = predictions_of(dataset_at(dexycb_root))
    pred[7, 3] += [3, 0, -4]
    metrics = score_dexycb(pred, truth).metrics
    assert metrics["MPJPE_abs_macro_mm"] == pytest.approx(5 / 40 / 21, abs=1e-3)
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(5 / 40 / 21, abs=1e-3)
    shifted = score_dexycb(truth + np.array([0, 30, 40]), truth).metrics
    assert shifted["MPJPE_abs_macro_mm"] == pytest.approx(50, abs=1e-3)
    assert shifted["MPJPE_rr_macro_mm"] == pytest.approx(0, abs=1e-3)


def test_errors_after_alignment(dexycb_root):
    """Root-relative errors ignore a shift, Procrustes-aligned ones also a turn and another size."""
    pred, truth = predictions_of(dataset_at(dexycb_root))
    pred[:, 4] += [0, 6, 8]
    plain = score_dexycb(pred, truth).metrics
    shifted = score_dexycb(pred + np.array([100, -50, 30]), truth).metrics
    assert shifted["MPJPE_rr_macro_mm"] == pytest.approx(plain["MPJPE_rr_macro_mm"], abs=1e-3)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    similar = score_dexycb(1.5 * move_rigidly(truth, turn, [100, 0, 0]), truth).metrics
    assert similar["PA_MPJPE_macro_mm"] == pytest.approx(0, abs=1e-3)
    assert similar["MPJPE_rr_macro_mm"] > 10


def test_metric_and_result_file_behind_the_pipeline(dexycb_root, tmp_path):
    """As in `tools/test.py`: packed samples, and predictions in image px and mm relative to the wrist."""
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/dexycb.py")
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = DATASETS.build(config.test_dataloader.dataset | {
            "data_root": str(dexycb_root), "subjects": SUBJECTS, "serials": SERIALS,
            "sequences_per_subject": SEQUENCES_PER_SUBJECT})
    metric = DexYCBMPJPE(result_file=str(tmp_path / "result.txt"))
    index_tip = ONE_HAND.names.index("index4")
    for i in range(len(dataset)):
        sample = dataset.get_data_info(i)
        sample["keypoints"][0, index_tip, :2] += np.array([3, 4]) * sample["focal"] / 901  # 3 and 4 mm at its depth
        metric.process(None, [dataset[i]["data_samples"].to_dict()
                              | {"pred_instances": {"keypoints": sample["keypoints"]}}])
    result = metric.evaluate(len(dataset))
    assert result["dexycb/MPJPE_abs_macro_mm"] == pytest.approx(5 / 21, abs=1e-3)
    assert result["dexycb/MPJPE_rr_macro_mm"] == pytest.approx(5 / 21, abs=1e-3)
    written = read_dexycb_text(tmp_path / "result.txt")
    assert list(written.ids) == [dataset.get_data_info(i)["id"] for i in range(len(dataset))]
    truth = dataset.get_data_info(3)["keypoints_cam"][0]
    np.testing.assert_allclose(written.joints_mm[3][index_tip], truth[index_tip] + [3, 4, 0], atol=1e-3)
    np.testing.assert_allclose(written.joints_mm[3][:4], truth[:4], atol=1e-3)
    first_line = (tmp_path / "result.txt").read_text().splitlines()[0].split(",")
    assert len(first_line) == 64
    np.testing.assert_allclose([float(number) for number in first_line[1:4]], [0, 0, 900], atol=1e-3)  # the wrist


# ---- the index


def test_index_follows_the_files(dexycb_root):
    path = view_folder(dexycb_root) / "labels_000000.npz"
    content = path.read_bytes()
    path.unlink()
    incomplete = dataset_at(dexycb_root, faulty="skip")
    assert incomplete.index.skipped == {"no hand": 16, "faulty record": 1}
    path.write_bytes(content)
    assert len(dataset_at(dexycb_root, faulty="skip")) == len(incomplete) + 1
    folder = view_folder(dexycb_root).parent
    folder.rename(folder.with_name("20200709_100000"))
    renamed = dataset_at(dexycb_root, faulty="skip").get_data_info(0)
    assert renamed["seq_name"] == f"{SUBJECTS[0]}/20200709_100000"
    other_camera = dataset_at(dexycb_root, faulty="skip", serials=SERIALS[::-1]).get_data_info(0)
    assert other_camera["camera"] == SERIALS[1]


# ---- broken and hostile label files


class RunsCode:
    """Unpickled as usual, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def changed(**arrays):
    """A label file with other arrays; None leaves one out."""
    return lambda path: np.savez(path, **{name: array for name, array in (label(0, 0) | arrays).items()
                                          if array is not None})


def at(array, value, *place):
    """A copy of an array with another value at a place."""
    array = array.copy()
    array[place] = value
    return array


GOOD = label(0, 0)
LABEL_FAULTS = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-40]), "a complete .npz file.*cut short"),
    "empty": (lambda path: path.write_bytes(b""), "a complete .npz file"),
    "no archive": (lambda path: path.write_bytes(b"<html>404</html>"), "a complete .npz file"),
    "damaged": (lambda path: path.write_bytes(path.read_bytes().replace(b"joint_3d", b"joint_9d", 1)), "complete .npz"),
    "runs code": (changed(joint_3d=np.array([RunsCode("marker")], dtype=object)), "complete .npz file.*[Oo]bject"),
    "no joints": (changed(joint_3d=None), "the key 'joint_3d'"),
    "no points": (changed(joint_2d=None), "the key 'joint_2d'"),
    "no leading axis": (changed(joint_3d=GOOD["joint_3d"][0]), r"\(1, 21, 3\) for 'joint_3d', got shape \(21, 3\)"),
    "few joints": (changed(joint_3d=GOOD["joint_3d"][:, :16]), r"\(1, 21, 3\) for 'joint_3d', got shape \(1, 16, 3\)"),
    "texts": (changed(joint_3d=np.full((1, 21, 3), "x")), "numbers of shape"),
    "NaN joint": (changed(joint_3d=at(GOOD["joint_3d"], NAN, 0, 5)), "finite 'joint_3d' in front of the camera"),
    "infinite joint": (changed(joint_3d=at(GOOD["joint_3d"], np.inf, 0, 5, 0)), "finite 'joint_3d' in front"),
    "-1 for some": (changed(joint_3d=at(GOOD["joint_3d"], -1, 0, 5)), "finite 'joint_3d' in front of the camera"),
    "millimetres": (changed(joint_3d=GOOD["joint_3d"] * 1000), "joints in m, of a hand that reaches"),
    "one point": (changed(joint_3d=np.full((1, 21, 3), 0.8)), "joints in m, of a hand that reaches"),
    "NaN point": (changed(joint_2d=at(GOOD["joint_2d"], NAN, 0, 5)), "a 'bbox' .* with positive w and h"),
    "-1 for the points": (changed(joint_2d=np.full((1, 21, 2), -1.0)), "a 'bbox' .* with positive w and h"),
}


@pytest.mark.parametrize("name", LABEL_FAULTS)
def test_fault_of_a_label_file(dexycb_root, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    damage, message = LABEL_FAULTS[name]
    path = view_folder(dexycb_root, number=1, camera=1) / "labels_000000.npz"
    damage(path)
    cache_dir = str(tmp_path / "cache")  # the index goes by names and sizes: damage may leave both as they are
    with pytest.raises(ValueError, match=message) as error:
        dataset_at(dexycb_root, cache_dir=cache_dir)
    assert str(path) in str(error.value)
    tolerant = dataset_at(dexycb_root, cache_dir=cache_dir, faulty="skip")
    assert len(tolerant) == 39
    assert tolerant.index.skipped == {"faulty record": 1, "no hand": 16}
    assert [tolerant.get_data_info(i)["id"] for i in range(5)] == [0, 2, 4, 5, 8]  # the faulty one was 7
    assert not (tmp_path / "marker").exists()


def test_missing_label_file(dexycb_root):
    path = view_folder(dexycb_root, number=2) / "labels_000001.npz"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"the labels of frame 1; meta.yml speaks of 4 frames, 3") as error:
        dataset_at(dexycb_root)
    assert str(path) in str(error.value)
    assert dataset_at(dexycb_root, faulty="skip").index.skipped == {"faulty record": 1, "no hand": 16}


def test_more_label_files_than_frames(dexycb_root):
    path = write_label(dexycb_root, label(0, 0), frame=9)
    with pytest.raises(ValueError, match=r"meta.yml.*'num_frames' label files in 836212060125, which are 2, got 3"):
        dataset_at(dexycb_root)
    path.unlink()
    assert len(dataset_at(dexycb_root)) == 40


def test_arrays_that_would_exhaust_the_memory(dexycb_root, monkeypatch):
    monkeypatch.setattr(dfmamba.datasets.files, "MAX_ARRAY_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"labels_000000.npz.*more than 10000"):
        parse_dexycb(dexycb_root, SELECTION)


# ---- broken and hostile YAML


META_FAULTS = {
    "runs code": ("!!python/object/apply:os.system ['touch marker']", "a YAML file of plain data.*python/object/apply"),
    "an object": ("serials: !!python/name:os.system", "a YAML file of plain data.*python/name"),
    "no YAML": ("serials: [836212060125", "a YAML file of plain data.*cut short"),
    "a list": ("[1, 2]", "the key 'serials', got a list"),
    "empty": ("", "the key 'serials', got a NoneType"),
    "no serials": ({"serials": None}, "the cameras .*'836212060125'.* among 'serials', got None"),
    "unknown serial": ({"serials": ["836212060125", "123"]}, "the cameras .'932122062010'. among 'serials'"),
    "both sides": ({"mano_sides": ["right", "left"]}, "'mano_sides', a list with one of"),
    "other side": ({"mano_sides": ["middle"]}, "'mano_sides', a list with one of"),
    "side as a text": ({"mano_sides": "left"}, "'mano_sides', a list with one of"),
    "no frames": ({"num_frames": 0}, "a 'num_frames' from 1 to 1000000, got 0"),
    "endless": ({"num_frames": 10**12}, "a 'num_frames' from 1 to 1000000, got 1000000000000"),
    "text": ({"num_frames": "many"}, "an integer for 'num_frames'"),
}


@pytest.mark.parametrize("name", META_FAULTS)
@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_fault_of_a_meta_file(dexycb_root, name, faulty, monkeypatch, tmp_path):
    """Without a recording's number of frames, all ids after it would be wrong: never skipped."""
    monkeypatch.chdir(tmp_path)
    content, message = META_FAULTS[name]
    path = view_folder(dexycb_root, number=1).parent / "meta.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(meta(SUBJECTS[0], 1) | content))
    with pytest.raises(ValueError, match=message) as error:
        dataset_at(dexycb_root, faulty=faulty)
    assert str(path) in str(error.value)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("key", ["num_frames", "serials", "mano_sides"])
def test_lists_that_name_each_other(dexycb_root, key):
    """Written out, this text of 400 bytes would have 10^10 items."""
    path = view_folder(dexycb_root).parent / "meta.yml"
    lists = ["- &a0 [1]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11))]
    others = yaml.safe_dump({name: value for name, value in meta(SUBJECTS[0], 0).items() if name != key})
    path.write_text("\n".join(["lists:", *lists, f"{key}: *a10", others]))
    with pytest.raises(ValueError, match=f"'{key}'.*got") as error:
        dataset_at(dexycb_root)
    assert len(str(error.value)) < 1000
    path.write_text(yaml.safe_dump(meta(SUBJECTS[0], 0)))
    intrinsics = dexycb_root / f"calibration/intrinsics/{SERIALS[0]}_640x480.yml"
    intrinsics.write_text("\n".join(["lists:", *lists, "color: {fx: *a10, fy: 1, ppx: 1, ppy: 1}"]))
    with pytest.raises(ValueError, match="for 'fx', got far more"):
        dataset_at(dexycb_root)


def test_serials_may_come_without_quotes(dexycb_root):
    path = view_folder(dexycb_root).parent / "meta.yml"
    path.write_text(yaml.safe_dump(meta(SUBJECTS[0], 0) | {"serials": [int(serial) for serial in SERIALS]}))
    assert len(dataset_at(dexycb_root)) == 40


@pytest.mark.parametrize(("content", "message"), [
    ("!!python/object/apply:os.system ['touch marker']", "plain data.*python/object/apply"),
    ("depth: {fx: 1}", "the key 'color'"),
    ("color: {fx: 600, fy: 600, ppx: 320}", "the key 'ppy'"),
    ("color: {fx: 600, fy: 600, ppx: .nan, ppy: 240}", "finite 'fx', 'fy', 'ppx', 'ppy'"),
    ("color: {fx: 0, fy: 600, ppx: 320, ppy: 240}", "positive fx, fy"),
    ("color: {fx: [600, 600], fy: 600, ppx: 320, ppy: 240}", r"numbers of shape \(\) for 'fx'"),
])
def test_faulty_intrinsics(dexycb_root, content, message):
    path = dexycb_root / f"calibration/intrinsics/{SERIALS[1]}_640x480.yml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        dataset_at(dexycb_root, faulty="skip")
    assert str(path) in str(error.value)


# ---- parts of the tree that are missing


@pytest.mark.parametrize(("part", "message"), [
    (f"calibration/intrinsics/{SERIALS[0]}_640x480.yml", "the intrinsics of a camera"),
    ("calibration/intrinsics", r"configuration key data_root[\s\S]*calibration/intrinsics/<serial>"),
    (SUBJECTS[1], r"a subject[\s\S]*10 subjects, 100 recordings each"),
    (f"{SUBJECTS[0]}/{recording_names(SUBJECTS[0])[2]}/meta.yml", "about a recording"),
])
@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_missing_part(dexycb_root, part, message, faulty):
    path = dexycb_root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=message) as error:
        dataset_at(dexycb_root, faulty=faulty)
    assert str(path) in str(error.value)


def test_missing_view(dexycb_root):
    shutil.rmtree(view_folder(dexycb_root))
    with pytest.raises(FileNotFoundError, match=r"836212060125"):
        dataset_at(dexycb_root)


def test_empty_folders_hold_places(dexycb_root):
    """A part of the set keeps the official positions if the other recordings are empty folders."""
    shutil.rmtree(view_folder(dexycb_root, number=1).parent)
    view_folder(dexycb_root, number=1).parent.mkdir()
    dataset = dataset_at(dexycb_root, subjects=SUBJECTS[:1])
    assert [dataset.get_data_info(i)["capture"] for i in range(len(dataset))] == [0] * 2 + [2] * 6 + [3] * 8
    assert dataset.get_data_info(2)["id"] == 4  # recording 0 has 2 frames of 2 cameras
    assert dataset.index.skipped == {"no hand": 6, "recording without files": 1}
    view_folder(dexycb_root, number=1).mkdir()
    with pytest.raises(FileNotFoundError, match=r"meta.yml \(about a recording\)"):
        dataset_at(dexycb_root, subjects=SUBJECTS[:1])


def test_other_number_of_recordings(dexycb_root):
    with pytest.raises(ValueError, match=r"expected 100 recordings.*got 5.*sequences_per_subject"):
        dataset_at(dexycb_root, sequences_per_subject=100)


def test_no_recording_is_left(dexycb_root):
    with pytest.raises(ValueError, match="expected at least one recording among the positions"):
        dataset_at(dexycb_root, setup="s3", split="val")  # objects 3 and 19: positions from 15 on


@pytest.mark.parametrize(("arguments", "message"), [
    ({"setup": "s4"}, "setup: expected one of .*'s3'.*got 's4'"),
    ({"split": "all"}, "split: expected one of .*'val'.*got 'all'"),
    ({"box": "tight"}, "box: expected one of .*'segmentation'.*got 'tight'"),
    ({"sequences": [-1]}, r"sequences: expected positions from 0 to 4, got \[-1\]"),
    ({"sequences": [5]}, "sequences: expected positions from 0 to 4"),
    ({"index_workers": -1}, "index_workers: expected at least 1, got -1"),
    ({"faulty": "ignore"}, "faulty: expected one of"),
])
def test_unusable_arguments(dexycb_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset_at(dexycb_root, **arguments)


def test_unknown_serial(dexycb_root):
    with pytest.raises(FileNotFoundError, match=r"123_640x480.yml"):
        dataset_at(dexycb_root, serials=["123"])


# ---- images


def damage_image(path, how):
    """Damage the image of a sample; return the expected error."""
    if how == "missing":
        path.unlink()
        return FileNotFoundError, "no such file"
    if how == "half-written":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return ValueError, "whole image, got one whose end is missing"
    if how == "no image":
        path.write_bytes(b"<html>404</html>")
        return ValueError, "cannot be decoded"
    if how == "empty":
        path.write_bytes(b"")
        return ValueError, "cannot be decoded"
    content = bytearray(path.read_bytes())  # "huge": a JPEG whose header speaks of 65,500 x 65,500 px
    start = content.index(b"\xff\xc0")
    content[start + 5:start + 9] = (65500).to_bytes(2, "big") * 2
    path.write_bytes(bytes(content))
    return ValueError, "at most 64000000 pixels"


@pytest.mark.parametrize("how", ["missing", "half-written", "no image", "empty", "huge"])
def test_bad_image(dexycb_root, how):
    arguments = {"pipeline": [{"type": "mmpose.LoadImage"}]}
    dataset = dataset_at(dexycb_root, **arguments)
    assert dataset[0]["img"].shape == (480, 640, 3)
    path = Path(dataset.get_data_info(0)["img_path"])
    kind, message = damage_image(path, how)
    with pytest.raises(kind, match=message) as error:
        dataset[0]
    assert str(path) in str(error.value)
    assert "record 0" in str(error.value)
    tolerant = dataset_at(dexycb_root, faulty="skip", **arguments)
    assert tolerant[0]["id"] != 0  # another sample
    assert tolerant.image_faults.skipped["sample with a faulty image"] >= 1  # the other one is drawn by lot
    with pytest.raises(kind, match=message):  # a test never leaves out a sample
        dataset_at(dexycb_root, faulty="skip", test_mode=True, **arguments)[0]
