"""Broken and hostile files of AssemblyHands: an error that names file and record, or with 'skip' a counted skip."""

import numpy as np
import pytest
from assemblyhands_fixture import FIRST, contents, open_assemblyhands, paths, write_annotations
from file_changes import set_at

from dfmamba.datasets import parse_assemblyhands
from dfmamba.datasets.record_error_policy import RecordErrorPolicy


def of_image(key, value):
    return set_at("data", "images", 0, key, value)


def of_annotation(key, value):
    return set_at("data", "annotations", 0, key, value)


def of_camera(*keys_and_value):
    return set_at("calib", "calibration", FIRST, *keys_and_value)


def of_joints(*keys_and_value):
    return set_at("joint", "annotations", FIRST, *keys_and_value)


NAN = float("nan")
CAMERA = "HMC_84346135_mono10bit"
FILE_FAULTS = {  # change, file, message
    "no images": (set_at("data", "images", "del"), 0, "expected the key 'images'"),
    "images no list": (set_at("data", "images", {"1": {}}), 0, "expected a list for 'images', got a dict"),
    "no calibration": (set_at("calib", "calibration", "del"), 1, "expected the key 'calibration'"),
    "no joints": (set_at("joint", "annotations", "del"), 2, "expected the key 'annotations'"),
}
RECORD_FAULTS = {  # change, file, message, samples that stay of 6, faults counted
    "no record": (set_at("data", "annotations", 0, 5), 0, "number 0.*expected the key 'id', got a int", 4, 1),
    "no image": (of_annotation("image_id", 9), 0, "record 11: expected an image with the id 9", 4, 1),
    "number as text": (of_annotation("image_id", "x"), 0, "11: expected an integer for 'image_id', got 'x'", 4, 1),
    "one box": (of_annotation("bbox", [1, 2, 3, 4]), 0, "record 11: expected a 'bbox' {'right'.*got", 4, 1),
    "no left": (of_annotation("bbox", {"right": None}), 0, "record 11: expected a 'bbox' .*'left'", 4, 1),
    "short box": (of_annotation("bbox", {"right": [1, 2, 3], "left": None}), 0, r"11: .*\(4,\) for 'right'", 4, 1),
    "short flags": (of_annotation("joint_valid", [1] * 21), 0, r"11: .*\(42,\) for 'joint_valid', got shape", 4, 1),
    "ragged flags": (of_annotation("joint_valid", [1] * 41 + [[1, 2]]), 0, "11: .*for 'joint_valid'", 4, 1),
    "drive": (of_image("file_name", "C:\\secret.jpg"), 0, "11: .*stays in the folder.*secret", 4, 1),
    "number as name": (of_image("camera", 7), 0, "record 11: expected a text .* for 'camera', got '7'", 4, 1),
    "huge number": (of_annotation("bbox", {"right": [10**400, 1, 2, 3], "left": None}), 0, "11: .*for 'right'", 4, 1),
    "no frame": (of_image("frame_idx", None), 0, "record 11: expected an integer for 'frame_idx'", 4, 1),
    "unknown sequence": (of_image("seq_name", "9999"), 1, "record 11: expected the sequence '9999'", 4, 1),
    "unknown camera": (of_image("camera", "HMC_1"), 1, "11: .*'intrinsics' for the camera 'HMC_1_mono10bit'", 4, 1),
    "suffix twice": (of_image("camera", CAMERA), 1, "11: .*'HMC_84346135_mono10bit_mono10bit'", 4, 1),
    "no extrinsics": (of_camera("extrinsics", "del"), 1, "record 11: expected the key 'extrinsics'", 2, 3),
    "frame not calibrated": (of_camera("extrinsics", "000010", "del"), 1, "11: .*for the frame '000010'", 3, 2),
    "camera not calibrated": (of_camera("extrinsics", "000010", CAMERA, "del"), 1, f"11: .*camera '{CAMERA}'", 4, 1),
    "rotation only": (of_camera("extrinsics", "000010", CAMERA, np.eye(3).tolist()), 1, r"11: .*\(3, 4\)", 4, 1),
    "skewed": (of_camera("intrinsics", CAMERA, 0, 1, 3.5), 1, "record 11: expected 'K'", 3, 2),
    "joints of no sequence": (set_at("joint", "annotations", FIRST, "del"), 2, "11: expected the sequence", 2, 3),
    "joints of no frame": (of_joints("000010", "del"), 2, "record 11: expected the frame '000010'", 3, 2),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_fault_of_a_file(tmp_path, name):
    change, file, message = FILE_FAULTS[name]
    files = contents()
    change(files)
    write_annotations(tmp_path, files)
    for policy in ("raise", "skip"):
        with pytest.raises(ValueError, match=message) as error:
            parse_assemblyhands(*paths(tmp_path), record_errors=RecordErrorPolicy(policy))
        assert str(paths(tmp_path)[file]) in str(error.value)


@pytest.mark.parametrize("name", RECORD_FAULTS)
def test_fault_of_a_record(tmp_path, name):
    change, file, message, stay, counted = RECORD_FAULTS[name]
    files = contents()
    change(files)
    write_annotations(tmp_path, files)
    with pytest.raises(ValueError, match=message) as error:
        parse_assemblyhands(*paths(tmp_path))
    assert str(paths(tmp_path)[file]) in str(error.value)
    parsed = parse_assemblyhands(*paths(tmp_path), record_errors=RecordErrorPolicy("skip"))
    assert len(parsed.columns["image"]) == stay
    assert parsed.skipped["faulty record"] == counted


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-50],
        lambda content: b"",
        lambda content: b"\xff\xfe\x00",
        lambda content: b"[" + b"1" * 5000 + b"]",
        lambda content: b"[" * 100_000,
    ],
    ids=["cut short", "empty", "no UTF-8", "more digits than Python takes", "too deep"],
)
def test_damaged_file(assemblyhands_root, which, damage):
    path = paths(assemblyhands_root)[which]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"expected a complete JSON file.*cut short") as error:
        parse_assemblyhands(*paths(assemblyhands_root))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("which", "key"), [(0, "ann_file"), (1, "calib_file"), (2, "joint_file")])
def test_missing_file(assemblyhands_root, which, key):
    paths(assemblyhands_root)[which].unlink()
    with pytest.raises(FileNotFoundError, match=f"configuration key {key}") as error:
        open_assemblyhands(assemblyhands_root)
    assert str(paths(assemblyhands_root)[which]) in str(error.value)
    assert "ego_images_rectified" in str(error.value)


def test_unknown_split(assemblyhands_root):
    with pytest.raises(ValueError, match=r"split: expected one of .*'val'.*got 'demo'"):
        open_assemblyhands(assemblyhands_root, split="demo")
