import doctest
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from file_changes import set_at
from interhand_fixture import contents, world, write_annotations, write_images
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.datasets import InterHand3DDataset
from mmpose.registry import DATASETS, KEYPOINT_CODECS

import dfmamba.codecs  # registers A2JCodec for the base config
import dfmamba.io.files
from dfmamba.datasets import InterHand26MDataset, parse_interhand26m
from dfmamba.datasets.interhand26m.annotations import joints_in_camera
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, hand_slice
from dfmamba.visualization.colors import FINGER_COLORS

REPOSITORY = Path(__file__).parents[2]


def paths(root, split="test"):
    return [
        root / "annotations" / split / f"InterHand2.6M_{split}_{name}.json" for name in ("data", "camera", "joint_3d")
    ]


def test_examples_in_docstrings():
    result = doctest.testmod(dfmamba.io.files)
    assert result.attempted > 0
    assert result.failed == 0


# ---- the parser


def test_parser_makes_columns(interhand_root):
    parsed = parse_interhand26m(*paths(interhand_root))
    table = SimpleNamespace(**parsed.columns, skipped=parsed.skipped)
    assert table.annotation_id.tolist() == [11, 12, 13, 14]
    assert table.image_id.tolist() == [1011, 1012, 1013, 1014]
    assert table.hand_type.tolist() == [[True, False], [False, True], [True, True], [True, True]]
    assert table.hand_type_valid.tolist() == [True, True, False, True]
    assert table.file_name[1] == b"Capture0/0001_fist/cam400002/image6.png"
    assert table.camera_name[table.camera].tolist() == [b"400001", b"400002", b"400001", b"400001"]
    assert table.frame_idx.tolist() == [3, 6, 9, 12]
    assert set(table.subject) == {7}
    assert table.joint_valid.sum(axis=1).tolist() == [21, 21, 40, 21]
    assert not table.joint_valid[3, hand_slice(RIGHT)].any()  # its root is not annotated
    assert table.skipped == {"no valid joint": 1, "root invalid": 1}


def test_cameras_of_a_frame_share_its_coordinates(tmp_path):
    files = contents()
    files["data"]["images"][1]["frame_idx"] = 3
    files["joint_3d"]["0"]["3"]["world_coord"] = world(3)
    write_annotations(tmp_path, files)
    table = parse_interhand26m(*paths(tmp_path)).columns
    assert table["frame"][0] == table["frame"][1]
    assert len(table["world_mm"]) == 3  # frames 3, 9, 12; the records of 15 and 18 are skipped


NAN = float("nan")
IMAGE, ANNOTATION = ("data", "images", 0), ("data", "annotations", 0)
WORLD = ("joint_3d", "0", "3", "world_coord")
FAULTS = {  # name: change, file, message; all of record 11 or its image, frame or camera, so that it is lost
    "no image": (set_at(*ANNOTATION, "image_id", 5), "data", "record 11: expected an image with the id 5"),
    "no bbox": (set_at(*ANNOTATION, "bbox", "del"), "data", "record 11: .*missing required field `bbox`"),
    "no id": (set_at(*ANNOTATION, "id", "del"), "data", r"record \(number 0\): .*missing required field `id`"),
    "no record": (set_at("data", "annotations", 0, [1]), "data", r"record \(number 0\): .*`object`, got `array`"),
    "repeated id": (set_at("data", "annotations", 1, "id", 11), "data", "record 11: expected each annotation_id once"),
    "huge id": (set_at(*ANNOTATION, "id", 10**30), "data", f"record {10**30}: .*`int` <= .* at `\\$.id`"),
    "no capture key": (set_at(*IMAGE, "capture", "del"), "data", "record 1011: .*missing required field `capture`"),
    "no number": (set_at(*IMAGE, "frame_idx", "x"), "data", r"record 1011: .*`int`, got `str` - at `\$\.frame_idx`"),
    "fraction": (set_at(*IMAGE, "frame_idx", 1.5), "data", r"record 1011: .*`int`, got `float` - at `\$\.frame_idx`"),
    "repeated image": (set_at("data", "images", 1, "id", 1011), "data", "record 1011: expected each image_id once"),
    "short flags": (
        set_at(*ANNOTATION, "joint_valid", [[1]] * 41),
        "data",
        r"record 11: expected 42 numbers for 'joint_valid', got an error: shape \(41,\)",
    ),
    "ragged flags": (
        set_at(*ANNOTATION, "joint_valid", [[1]] * 41 + [[1, 2]]),
        "data",
        "record 11: expected 42 numbers for 'joint_valid', got an error: .*inhomogeneous",
    ),
    "NaN flags": (set_at(*ANNOTATION, "joint_valid", [[NAN]] + [[1]] * 41), "data", "11: .*'joint_valid'.* 41 finite"),
    "no flags": (set_at(*ANNOTATION, "joint_valid", {}), "data", "record 11: expected 42 numbers for 'joint_valid'"),
    "short box": (set_at(*ANNOTATION, "bbox", [1, 2, 3]), "data", "record 11: .*`array` of length 4 - at `.*bbox`"),
    "capture": (set_at(*IMAGE, "capture", 4), "camera", "record 11: expected the capture '4'"),
    "camera": (set_at(*IMAGE, "camera", "9"), "camera", "record 11: .*'camrot' for the camera '9'"),
    "frame": (set_at("joint_3d", "0", "3", "del"), "joint_3d", "record 11: expected the frame '3'"),
    "frame of another kind": (set_at("joint_3d", "0", "3", [1]), "joint_3d", "record 11: .*'world_coord', got a list"),
    "NaN joint": (set_at(*WORLD, 4, [0, NAN, 0]), "joint_3d", "record 11: .*valid joints, got right_index4"),
}
FILE_FAULTS = {  # of cameras that records 13 and 14 share with record 11, or of the files as a whole
    "no images": (set_at("data", "images", "del"), "data", "missing required field `images`"),
    "images of another kind": (set_at("data", "images", 5), "data", r"Expected `array`, got `int` - at `\$\.images`"),
    "camera part": (set_at("camera", "0", "focal", "del"), "camera", "record 11: expected the key 'focal'"),
    "camera shape": (set_at("camera", "0", "focal", "400001", [1]), "camera", r"11: .*shape \(2,\) .*got shape \(1,\)"),
    "cameras of another kind": (set_at("camera", []), "camera", "Expected `object`, got `array`"),
    "captures of another kind": (set_at("joint_3d", "0", 1), "joint_3d", "Expected `object`, got `int`"),
}


@pytest.mark.parametrize("name", [*FAULTS, *FILE_FAULTS])
def test_fault_names_file_and_record(tmp_path, name):
    change, file, message = (FAULTS | FILE_FAULTS)[name]
    files = contents()
    change(files)
    write_annotations(tmp_path, files)
    with pytest.raises(ValueError, match=message) as error:
        parse_interhand26m(*paths(tmp_path))
    assert str(paths(tmp_path)[0]).replace("_data", f"_{file}") in str(error.value)


def test_faults_of_skipped_records_and_invalid_joints_do_not_matter(tmp_path):
    files = contents()
    files["data"]["annotations"][5]["bbox"] = [0, 0, 0, 0]  # no valid joint, so no box
    files["joint_3d"]["0"]["9"]["world_coord"][0] = [NAN, NAN, NAN]  # right_thumb4 of record 13 is not annotated
    write_annotations(tmp_path, files)
    write_images(tmp_path, files)
    sample = InterHand26MDataset("test", str(tmp_path)).get_data_info(2)
    assert np.isfinite(sample["keypoints_cam"]).all()
    assert np.isfinite(sample["keypoints"]).all()


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_record_is_skipped_and_counted_where_wanted(tmp_path, log, name):
    files = contents()
    FAULTS[name][0](files)
    write_annotations(tmp_path, files)
    parsed = parse_interhand26m(*paths(tmp_path), RecordErrorPolicy("skip"))
    lost = 12 if name in ("repeated id", "repeated image") else 11  # the second of the two is
    assert parsed.columns["annotation_id"].tolist() == [number for number in (11, 12, 13, 14) if number != lost]
    # a faulty image is a fault, and so is the annotation that refers to it
    image_is_lost = "1011" in FAULTS[name][2]
    assert parsed.skipped == {"no valid joint": 1, "root invalid": 1, "faulty record": 2 if image_is_lost else 1}
    assert "skipped a faulty record: " in log.text
    clean = parse_interhand26m(*paths_of_clean(tmp_path / "clean")).columns
    kept = clean["annotation_id"] != lost
    for column in ("joint_valid", "bbox_xywh", "file_name", "subject", "hand_type"):
        np.testing.assert_array_equal(parsed.columns[column], clean[column][kept])
    for row in range(3):
        np.testing.assert_array_equal(
            joints_in_camera(parsed.columns, row), joints_in_camera(clean, np.flatnonzero(kept)[row])
        )


def paths_of_clean(root):
    write_annotations(root, contents())
    return paths(root)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(
    "fault",
    [
        lambda data: data[:-50],
        lambda data: b"",
        lambda data: data + b"}",
        lambda data: b"[" * 10**6,
        lambda data: b"\xff" + data,
        lambda data: data.replace(b":", b";", 1),
        lambda data: b"null",
        lambda data: b"[]",
        lambda data: data.replace(b": ", b": NaN0", 1),
        lambda data: b"\x00" * 1000,
    ],
    ids=["cut short", "empty", "too long", "nested", "no UTF-8", "no JSON", "null", "list", "no number", "zeros"],
)
def test_broken_file(interhand_root, which, fault):
    path = paths(interhand_root)[which]
    path.write_bytes(fault(path.read_bytes()))
    with pytest.raises(ValueError, match=r"expected a complete JSON file.*cut short|the official layout") as error:
        parse_interhand26m(*paths(interhand_root), RecordErrorPolicy("skip"))  # no tolerance for files as a whole
    assert str(path) in str(error.value)


def test_columns_do_not_depend_on_chunks(interhand_root, monkeypatch):
    expected = parse_interhand26m(*paths(interhand_root)).columns
    monkeypatch.setattr("dfmamba.datasets.interhand26m.annotations.CHUNK", 2)
    columns = parse_interhand26m(*paths(interhand_root)).columns
    assert list(columns) == list(expected)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name])
        assert column.dtype == expected[name].dtype


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(interhand_root):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root))
    sample = dataset.get_data_info(0)
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 42, 3)
    thumb, index, wrist = (TWO_HANDS.names.index(f"right_{name}") for name in ("thumb4", "index4", "wrist"))
    np.testing.assert_allclose(
        sample["keypoints_cam"][0, [thumb, index, wrist]], [[0, 50, 1000], [100, 0, 1050], [0, 0, 1000]]
    )
    np.testing.assert_allclose(
        sample["keypoints"][0, [thumb, index, wrist]],
        [[100, 260, 0], [100 + 1000 * 100 / 1050, 200, 50], [100, 200, 0]],
        rtol=1e-6,
    )
    assert not sample["keypoints_cam"][0, hand_slice(LEFT)].any()
    assert sample["keypoints_visible"][0].tolist() == [1] * 21 + [0] * 21
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["abs_depth"].tolist() == [1000, 0]
    assert sample["rel_root_valid"].tolist() == sample["rel_root_depth"].tolist() == [0]
    assert sample["focal"].tolist() == [1000, 1200]
    assert sample["principal_pt"].tolist() == [100, 200]
    assert sample["bbox"].tolist() == [[10, 20, 110, 80]]
    assert sample["img_path"] == str(interhand_root / "images/test/Capture0/0001_fist/cam400001/image3.png")
    expected = {
        "id": 11,
        "img_id": 1011,
        "seq_name": "0001_fist",
        "camera": "400001",
        "capture": 0,
        "subject": 7,
        "frame_idx": 3,
        "rotation": 0,
        "dataset_name": "interhand26m",
        "sample_idx": 0,
    }
    assert {key: sample[key] for key in expected} == expected


def test_two_hands_and_the_other_camera(interhand_root):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root))
    both = dataset.get_data_info(2)
    assert both["abs_depth"].tolist() == [1000, 900]
    assert both["rel_root_depth"].tolist() == [-100]  # left minus right
    assert both["rel_root_valid"].tolist() == [1]
    assert both["hand_type_valid"].tolist() == [0]
    left = dataset.get_data_info(1)
    np.testing.assert_allclose(left["keypoints"][0, 41], [50 - 500 * 90 / 930, 60 + 500 * 120 / 930, 0], rtol=1e-6)
    assert left["abs_depth"].tolist() == [0, 930]
    rootless = dataset.get_data_info(3)
    assert rootless["hand_type"].tolist() == [[1, 1]]
    assert rootless["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    assert rootless["rel_root_valid"].tolist() == rootless["rel_root_depth"].tolist() == [0]


def test_metainfo(interhand_root):
    meta = InterHand26MDataset(split="test", data_root=str(interhand_root)).metainfo
    assert meta["flip_indices"] == [*range(21, 42), *range(21)]
    assert meta["num_keypoints"] == 42
    assert meta["keypoint_colors"][TWO_HANDS.names.index("left_ring2")].tolist() == list(FINGER_COLORS["ring"])
    assert meta["data_source"]["num_samples"] == 4
    assert meta["data_source"]["root_depth"] == "gt"


def test_samples_may_be_changed_by_transforms(interhand_root):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root))
    first = dataset.get_data_info(0)
    expected = dataset.get_data_info(0)
    for value in first.values():
        if isinstance(value, np.ndarray):
            value[...] = 7
        elif isinstance(value, list):
            value.clear()
    for key, value in dataset.get_data_info(0).items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_same_samples_as_mmpose(interhand_root):
    """mmpose's own reader of the same files is the independent reference."""
    ours = InterHand26MDataset(split="test", data_root=str(interhand_root))
    data, camera, joint = map(str, paths(interhand_root))
    theirs = InterHand3DDataset(
        ann_file=data,
        camera_param_file=camera,
        joint_file=joint,
        data_root="",
        data_prefix={"img": str(interhand_root / "images/test")},
        test_mode=True,
    )
    by_id = {theirs.get_data_info(i)["id"]: theirs.get_data_info(i) for i in range(len(theirs))}
    for i in range(len(ours)):
        mine, other = ours.get_data_info(i), by_id[ours.get_data_info(i)["id"]]
        for key in (
            "hand_type",
            "hand_type_valid",
            "focal",
            "principal_pt",
            "bbox",
            "bbox_score",
            "rotation",
            "img_id",
            "img_path",
            "rel_root_valid",
            "keypoints_visible",
            "flip_indices",
        ):
            np.testing.assert_array_equal(np.squeeze(mine[key]), np.squeeze(other[key]), err_msg=key)
        valid = mine["keypoints_visible"] > 0
        for key in ("keypoints", "keypoints_cam"):
            np.testing.assert_allclose(mine[key][valid], other[key][valid], rtol=1e-5, atol=1e-3, err_msg=key)
        roots = valid[0, list(TWO_HANDS.roots)]
        np.testing.assert_allclose(mine["abs_depth"][roots], np.array(other["abs_depth"])[roots], rtol=1e-6)
        if roots.all():
            np.testing.assert_allclose(mine["rel_root_depth"], other["rel_root_depth"], rtol=1e-5)


def test_mmpose_codec_accepts_a_sample(interhand_root):
    sample = InterHand26MDataset(split="test", data_root=str(interhand_root)).get_data_info(2)
    codec = KEYPOINT_CODECS.build({"type": "Hand3DHeatmap"})
    encoded = codec.encode(
        sample["keypoints"], sample["keypoints_visible"], **{key: sample[key] for key in codec.auxiliary_encode_keys}
    )
    np.testing.assert_allclose(encoded["root_depth"], [(-100 / 400 + 0.5) * 64])
    assert encoded["root_depth_weight"] == [1]
    assert encoded["type_weight"] == [0]
    assert encoded["keypoint_weights"][0, [0, 1]].tolist() == [0, 1]


def test_projection_gives_the_published_boxes(real_samples):
    dataset = InterHand26MDataset(**real_samples)
    assert len(dataset) == 4
    for i in range(4):
        sample = dataset.get_data_info(i)
        points = sample["keypoints"][0, sample["keypoints_visible"][0] > 0, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        center, half = (low + high) / 2, 1.2 * (high - low) / 2
        np.testing.assert_allclose(sample["bbox"][0], [*(center - half), *(center + half)], atol=1e-2)


def test_base_config_loads_the_published_samples(real_samples):
    config = Config.fromfile(REPOSITORY / "configs/_base_/datasets/interhand26m.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.update(real_samples)
        with DefaultScope.overwrite_default_scope("mmpose"):
            dataset = DATASETS.build(loader.dataset)
        packed = [dataset[i] for i in range(4)]
        assert {tuple(item["inputs"].shape) for item in packed} == {(3, 256, 256)}
        meta = packed[0]["data_samples"].metainfo
        assert {"abs_depth", "focal", "principal_pt", "hand_type", "id", "input_center", "input_scale"} <= set(meta)
        assert packed[0]["data_samples"].gt_instances.keypoints_cam.shape == (1, 42, 3)


# ---- selection and messages


def test_skipped_and_selected_samples_are_logged(interhand_root, log):
    dataset = InterHand26MDataset(
        split="test", data_root=str(interhand_root), hand_types=["left", "interacting"], sample_interval=2, indices=1
    )
    assert [dataset.get_data_info(i)["id"] for i in range(len(dataset))] == [12]
    assert (
        "InterHand26MDataset: 3 used, 3 skipped: root invalid 1, no valid joint 1, hand type not selected 1" in log.text
    )
    assert "sample_interval=2, indices=1 select 1 of 3 samples" in log.text
    assert dataset.metainfo["data_source"]["indices"] == 1


@pytest.mark.parametrize(("indices", "ids"), [(2, [11, 12]), (-1, [14]), ([3, 0, -3], [14, 11, 12])])
def test_indices(interhand_root, indices, ids):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root))
    subset = dataset.get_subset(indices)
    same = InterHand26MDataset(split="test", data_root=str(interhand_root), indices=indices)
    for part in (subset, same):
        assert [part.get_data_info(i)["id"] for i in range(len(part))] == ids
    assert subset.metainfo["data_source"]["num_samples"] == len(ids)
    assert len(dataset) == dataset.metainfo["data_source"]["num_samples"] == 4
    assert dataset.get_data_info(-1)["sample_idx"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "all"}, "split: expected one of .*'train'.*got 'all'"),
        ({"hand_types": ["both"]}, r"hand_types: expected .*'interacting'.*got \['both'\]"),
        ({"hand_types": "left"}, "hand_types: expected a list"),
        ({"sample_interval": 0}, "sample_interval: expected a positive integer, got 0"),
        ({"indices": [9]}, r"indices: expected numbers below 4.*got \[9\]"),
        ({"indices": 0}, "expected at least one sample, got none: .*4 used"),
    ],
)
def test_unusable_arguments(interhand_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        InterHand26MDataset(**{"split": "test", "data_root": str(interhand_root)} | arguments)


@pytest.mark.parametrize(("key", "file"), [("ann_file", "data"), ("camera_file", "camera"), ("joint_file", "joint_3d")])
def test_missing_annotation_file(interhand_root, key, file):
    path = interhand_root / f"annotations/test/InterHand2.6M_test_{file}.json"
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        InterHand26MDataset(split="test", data_root=str(interhand_root))
    message = str(error.value)
    assert str(path) in message
    assert f"configuration key {key}" in message
    assert f"data_root={str(interhand_root)!r}" in message
    assert "annotations/{split}/InterHand2.6M_{split}_data.json" in message
    assert 5 <= len(InterHand26MDataset.EXPECTED_LAYOUT.splitlines()) <= 8


def test_missing_image_folder(interhand_root):
    with pytest.raises(FileNotFoundError, match=r"configuration key data_prefix\['img'\]"):
        InterHand26MDataset(split="test", data_root=str(interhand_root), data_prefix={"img": "pictures"})


@pytest.mark.parametrize("damage", ["missing", "unreadable"])
def test_bad_image_names_file_and_record(interhand_root, damage):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), pipeline=[{"type": "mmpose.LoadImage"}])
    assert dataset[0]["img"].shape == (512, 334, 3)
    assert dataset[1]["img"].shape == (334, 512, 3)
    path = Path(dataset.get_data_info(0)["img_path"])
    if damage == "missing":
        path.unlink()
        kind, message = FileNotFoundError, r"record 11[\s\S]*data_prefix"
    else:
        path.write_bytes(b"no picture")
        kind, message = ValueError, "record 11.*expected an image file"
    with pytest.raises(kind, match=message) as error:
        dataset[0]
    assert str(path) in str(error.value)


def test_errors_of_transforms_are_not_hidden(interhand_root):
    def broken(sample):
        raise KeyError("a fault of the pipeline")

    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), pipeline=[broken])
    with pytest.raises(KeyError, match="a fault of the pipeline"):
        dataset[0]


def test_can_be_sent_to_a_worker_process(interhand_root):
    dataset = pickle.loads(pickle.dumps(InterHand26MDataset(split="test", data_root=str(interhand_root))))
    assert dataset.get_data_info(2)["id"] == 13


def test_lazy_init(interhand_root):
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), lazy_init=True)
    assert dataset.metainfo["num_keypoints"] == 42
    assert "data_source" not in dataset.metainfo
    dataset.full_init()
    dataset.full_init()  # the second time does nothing
    assert len(dataset) == 4


# ---- RootNet


def test_rootnet_depth_and_boxes(interhand_root):
    """RootNet's boxes are square and enlarged already: the standard pipeline must crop just them."""
    entries = [
        {
            "annot_id": number,
            "bbox": [30.0 + number, -5.0, 150.0, 150.0],
            "abs_depth": [900.0 + number, 800.0],
            "root_valid": [1.0, 1.0],
        }
        for number in (13, 11, 12)
    ]
    (interhand_root / "rootnet.json").write_text(json.dumps(entries))
    dataset = InterHand26MDataset(
        split="test",
        data_root=str(interhand_root),
        root_depth="rootnet.json",
        pipeline=[
            {"type": "mmpose.LoadImage"},
            {"type": "mmpose.GetBBoxCenterScale", "padding": 1.25},
            {"type": "mmpose.TopdownAffine", "input_size": (256, 256)},
        ],
    )
    assert len(dataset) == 3
    sample = dataset[2]
    assert sample["id"] == 13
    assert sample["abs_depth"].tolist() == [913, 800]
    assert sample["rel_root_depth"].tolist() == [-100]  # a target: still the ground truth
    np.testing.assert_allclose(sample["input_center"], [43 + 75, -5 + 75])
    np.testing.assert_allclose(sample["input_scale"], [150, 150])
    assert dataset.metainfo["data_source"]["root_depth"] == "rootnet.json"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annot_id": 11}, "expected a list of results, got a dict"),
        ([{"annot_id": 11, "bbox": [0, 0, 5, 5]}], "record 11: expected the key 'abs_depth'"),
        ([{"annot_id": 11, "bbox": [0, 0, 0, 5], "abs_depth": [1, 2]}], "record 11: .*positive w and h"),
        ([{"annot_id": 11, "bbox": [0, 0, 5, 5], "abs_depth": [1, 2]}] * 2, "record 11: expected each annot_id once"),
        ([{"annot_id": 11, "bbox": [0, 0, 5, 5], "abs_depth": [1, None]}], "record 11: expected finite depths"),
        ([{"bbox": [0, 0, 5, 5]}], r"record \(number 0\): expected the key 'annot_id'"),
        ([], "expected at least one sample, got none: .*not in the RootNet file 4"),
    ],
)
def test_faulty_rootnet_file(interhand_root, content, message):
    (interhand_root / "rootnet.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        InterHand26MDataset(split="test", data_root=str(interhand_root), root_depth="rootnet.json")


def test_missing_rootnet_file(interhand_root):
    with pytest.raises(FileNotFoundError, match="configuration key root_depth"):
        InterHand26MDataset(split="test", data_root=str(interhand_root), root_depth="rootnet.json")
