"""Broken and hostile files of NYU: an error that names file and record or, with faulty='skip', a counted skip."""

import numpy as np
import pytest
import scipy.io
from nyu_fixture import (
    CENTERS,
    CROP,
    JOINTS,
    NUM_FRAMES,
    V2V_CENTERS,
    contents,
    open_nyu,
    write_annotations,
    write_images,
)

from dfmamba.datasets import parse_nyu
from dfmamba.datasets.record_error_policy import RecordErrorPolicy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 800\n0 0 810\n", "expected 3 lines, one for every frame of .*got 2 lines"),
        ("0 0 800\n0 0\n0 0 820\n", "record 1: expected x, y, z in mm or 'invalid', got '0 0'"),
        ("0 0 800\n0 0 far\n0 0 820\n", "record 1: expected x, y, z in mm or 'invalid', got '0 0 far'"),
        ("0 0 800\n0 0 nan\n0 0 820\n", "record 1: expected a finite center"),
        ("0 0 800\n0 0 -810\n0 0 820\n", "record 1: expected a finite center"),
        ("\0\0\xff\n" * 3, "expected a text in UTF-8"),
    ],
)
def test_fault_of_v2v_centers(nyu_root, text, message):
    (nyu_root / V2V_CENTERS).write_text(text, encoding="latin1")
    with pytest.raises(ValueError, match=message) as error:
        parse_nyu(nyu_root / JOINTS, nyu_root / V2V_CENTERS)
    assert str(nyu_root / V2V_CENTERS) in str(error.value)


def set_value(name, place, value):
    def change(arrays):
        arrays[name][place] = value

    return change


def replace(name, make):
    def change(arrays):
        arrays[name] = make(arrays[name])

    return change


def remove(name):
    def change(arrays):
        del arrays[name]

    return change


def cell(array):
    """What savemat writes as a cell, and loadmat reads as an array of objects."""
    cells = np.empty(array.shape[:1], dtype=object)
    cells[:] = list(array)
    return cells


FRAME_1 = (0, 1)
FILE_FAULTS = {  # change, file, message
    "no joints": (remove("joint_uvd"), JOINTS, "no variable .*joint_uvd"),
    "no centers": (replace("centre_pixel", lambda _: None), CENTERS, "no variable .*centre_pixel"),
    "joints in a cell": (replace("joint_uvd", cell), JOINTS, "'joint_uvd', which is a cell, structure or object"),
    "joints in a structure": (replace("joint_uvd", lambda array: {"a": array}), JOINTS, "a cell, structure or object"),
    "joints as text": (replace("joint_uvd", lambda _: "rm -rf"), JOINTS, "expected real numbers in 'joint_uvd'"),
    "complex joints": (replace("joint_uvd", lambda array: array + 1j), JOINTS, "complex128 in place of real num"),
    "one camera": (replace("joint_uvd", lambda array: array[:1]), JOINTS, r"\(3, frames, 36, 3\).*\(1, 3, 36, 3\)"),
    "14 points": (replace("joint_uvd", lambda array: array[:, :, :14]), JOINTS, r"got shape \(3, 3, 14, 3\)"),
    "no depth": (replace("joint_uvd", lambda array: array[..., :2]), JOINTS, r"got shape \(3, 3, 36, 2\)"),
    "flat": (replace("joint_uvd", lambda array: array.reshape(3, -1)), JOINTS, r"got shape \(3, 324\)"),
    "fewer centers": (
        replace("centre_pixel", lambda array: array[:2]),
        CENTERS,
        r"'centre_pixel' of shape \(3, 1, 3\), one for every frame.*\(2, 1, 3\)",
    ),
    "centers without depth": (replace("centre_pixel", lambda array: array[..., :2]), CENTERS, r"got shape \(3, 1, 2\)"),
}
RECORD_FAULTS = {
    "joints of nothing": (set_value("joint_uvd", FRAME_1, 0), JOINTS, "record 1: .* all in one point"),
    "NaN center": (set_value("centre_pixel", (1, 0, 1), np.nan), CENTERS, "record 1: expected a finite center"),
    "center without reading": (set_value("centre_pixel", (1, 0, 2), 0), CENTERS, "record 1: expected a finite center"),
    "center far away": (set_value("centre_pixel", (1, 0, 0), 5000), CENTERS, "record 1: .*meets the image of 640"),
    "15 px in the image": (
        set_value("centre_pixel", (1, 0), [15 - 110 * 588.03 / 800, 240, 800]),
        CENTERS,
        "record 1: .*meets the image of 640",
    ),
    "15 px in the image at its right": (  # the center of the last pixel is at 639
        set_value("centre_pixel", (1, 0), [624 + 110 * 588.03 / 800, 240, 800]),
        CENTERS,
        "record 1: .*meets the image of 640",
    ),
    "15 px in the image at its bottom": (
        set_value("centre_pixel", (1, 0), [320, 464 + 110 * 587.07 / 800, 800]),
        CENTERS,
        "record 1: .*meets the image of 640",
    ),
    "center in metres": (set_value("centre_pixel", (1, 0), [0.01, 0.02, -0.8]), CENTERS, "record 1: expected a finite"),
}


def write_changed(nyu_root, change):
    arrays = contents()
    change(arrays)
    write_annotations(nyu_root, {name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_fault_of_a_file(tmp_path, name):
    change, file, message = FILE_FAULTS[name]
    write_changed(tmp_path, change)
    for policy in ("raise", "skip"):
        with pytest.raises(ValueError, match=message) as error:
            parse_nyu(tmp_path / JOINTS, tmp_path / CENTERS, RecordErrorPolicy(policy))
        assert str(tmp_path / file) in str(error.value)


@pytest.mark.parametrize("name", RECORD_FAULTS)
def test_fault_of_a_record(tmp_path, name):
    change, file, message = RECORD_FAULTS[name]
    write_changed(tmp_path, change)
    with pytest.raises(ValueError, match=message) as error:
        parse_nyu(tmp_path / JOINTS, tmp_path / CENTERS)
    assert str(tmp_path / file) in str(error.value)
    parsed = parse_nyu(tmp_path / JOINTS, tmp_path / CENTERS, RecordErrorPolicy("skip"))
    assert parsed.columns["frame"].tolist() == [0, 2]
    assert parsed.skipped == {"faulty record": 1}


def test_box_just_large_enough_survives_the_augmentation(tmp_path):
    """16 px are in the image; jitter takes at most 4 on the left and 5 on the right."""
    write_changed(tmp_path, set_value("centre_pixel", (1, 0), [16.01 - 110 * 588.03 / 810, 240, 810]))
    write_images(tmp_path)

    def worst(sample):
        sample["bbox"] = sample["bbox"] + np.array([4, 4, -5, -5])
        return sample

    dataset = open_nyu(tmp_path, centers=CENTERS, pipeline=[CROP[0], worst, CROP[1]])
    assert dataset[1]["input_scale"][0] == pytest.approx(11.01, abs=1e-3)


def test_points_that_nobody_evaluates_may_be_anything(tmp_path):
    write_changed(tmp_path, set_value("joint_uvd", (*FRAME_1, 1), np.nan))
    assert len(parse_nyu(tmp_path / JOINTS).columns["frame"]) == 3


@pytest.mark.parametrize("file", [JOINTS, CENTERS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:60],
        lambda content: b"",
        lambda content: b"\x80\x04cos\nsystem\n",
        lambda content: content[:300] * 3,
    ],
)
def test_damaged_file(nyu_root, file, damage):
    path = nyu_root / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="expected a complete MATLAB file with plain arrays") as error:
        parse_nyu(nyu_root / JOINTS, nyu_root / CENTERS)
    assert str(path) in str(error.value)


def test_absurd_size_in_the_header(tmp_path):
    """The header asks for 86 GB; the file has a few kB."""
    scipy.io.savemat(tmp_path / "joint_data.mat", {"joint_uvd": contents()["joint_uvd"]})
    content = (tmp_path / "joint_data.mat").read_bytes()
    told, absurd = (np.array([3, frames, 36, 3], dtype="<i4").tobytes() for frames in (NUM_FRAMES, 33_000_000))
    assert content.count(told) == 1
    (tmp_path / "joint_data.mat").write_bytes(content.replace(told, absurd))
    with pytest.raises(ValueError, match=r"joint_data.mat: expected a complete MATLAB file.*85536000000 bytes"):
        parse_nyu(tmp_path / "joint_data.mat")


@pytest.mark.parametrize(("file", "key"), [(JOINTS, "ann_file"), (CENTERS, "centers")])
def test_missing_file(nyu_root, file, key):
    (nyu_root / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"configuration key {key}") as error:
        open_nyu(nyu_root, centers=CENTERS)
    assert str(nyu_root / file) in str(error.value)
    assert "depth_1_0000001.png" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, r"split: expected one of .*'train'.*got 'val'"),
        ({"camera": 0}, "camera: expected 1 to 3, got 0"),
        ({"camera": 2, "centers": CENTERS}, r"centers: expected 'joints' with camera=2.*got 'nyu_center_test.mat'"),
        ({"gt": "xyz"}, r"gt: expected one of .*'joint_xyz'.*got 'xyz'"),
        ({"half_mm": 0}, "half_mm: expected a positive number, got 0"),
    ],
)
def test_unusable_arguments(nyu_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        open_nyu(nyu_root, **arguments)
