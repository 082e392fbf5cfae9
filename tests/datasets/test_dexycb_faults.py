"""Broken and hostile files of DexYCB: an error that names the file or, with faulty='skip', a counted skip."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from dexycb_fixture import (
    SELECTION,
    SERIALS,
    SUBJECTS,
    label,
    meta,
    open_dexycb,
    recording_names,
    view_folder,
    write_label,
)

import dfmamba.io.files
from dfmamba.datasets import source_digests
from dfmamba.datasets.dexycb.annotations import parse_dexycb

NAN = float("nan")

# ---- label files


class RunsCode:
    """Unpickled as usual, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def changed(**arrays):
    """A label file with other arrays; None leaves one out."""
    return lambda path: np.savez(
        path, **{name: array for name, array in (label(0, 0) | arrays).items() if array is not None}
    )


def at(array, value, *place):
    """A copy of an array with another value at a place."""
    array = array.copy()
    array[place] = value
    return array


GOOD = label(0, 0)
LABEL_FAULTS = {
    "damaged": (lambda path: path.write_bytes(path.read_bytes().replace(b"joint_3d", b"joint_9d", 1)), "complete .npz"),
    "runs code": (changed(joint_3d=np.array([RunsCode("marker")], dtype=object)), "complete .npz file.*[Oo]bject"),
    "no points": (changed(joint_2d=None), "the key 'joint_2d'"),
    "no leading axis": (changed(joint_3d=GOOD["joint_3d"][0]), r"\(1, 21, 3\) for 'joint_3d', got shape \(21, 3\)"),
    "-1 for some": (changed(joint_3d=at(GOOD["joint_3d"], -1, 0, 5)), "joints in front of the camera.*'joint_3d'"),
    "NaN point": (changed(joint_2d=at(GOOD["joint_2d"], NAN, 0, 5)), "a 'bbox' .* with positive w and h"),
    "-1 for the points": (changed(joint_2d=np.full((1, 21, 2), -1.0)), "a 'bbox' .* with positive w and h"),
}


@pytest.mark.parametrize("name", LABEL_FAULTS)
def test_fault_of_a_label_file(dexycb_root, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    damage, message = LABEL_FAULTS[name]
    path = view_folder(dexycb_root, number=1, camera=1) / "labels_000000.npz"
    damage(path)
    with pytest.raises(ValueError, match=message) as error:
        open_dexycb(dexycb_root)
    assert str(path) in str(error.value)
    tolerant = open_dexycb(dexycb_root, faulty="skip")
    assert len(tolerant) == 39
    assert tolerant.index.skipped == {"faulty record": 1, "no hand": 16}
    assert [tolerant.get_data_info(i)["id"] for i in range(5)] == [0, 2, 4, 5, 8]  # the faulty one was 7
    assert not (tmp_path / "marker").exists()


def test_missing_label_file(dexycb_root):
    path = view_folder(dexycb_root, number=2) / "labels_000001.npz"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"the labels of frame 1; meta.yml speaks of 4 frames, 3") as error:
        open_dexycb(dexycb_root)
    assert str(path) in str(error.value)
    assert open_dexycb(dexycb_root, faulty="skip").index.skipped == {"faulty record": 1, "no hand": 16}


def test_more_label_files_than_frames(dexycb_root):
    path = write_label(dexycb_root, label(0, 0), frame=9)
    with pytest.raises(ValueError, match=r"meta.yml.*'num_frames' label files in 836212060125, which are 2, got 3"):
        open_dexycb(dexycb_root)
    path.unlink()
    assert len(open_dexycb(dexycb_root)) == 40


def test_arrays_that_would_exhaust_the_memory(dexycb_root, monkeypatch):
    monkeypatch.setattr(dfmamba.io.files, "MAX_ARRAY_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"labels_000000.npz.*more than 10000"):
        parse_dexycb(dexycb_root, SELECTION)


# ---- YAML


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
    "no frames": ({"num_frames": 0}, "a 'num_frames' from 1 to 10000, got 0"),
    "endless": ({"num_frames": 10**12}, "a 'num_frames' from 1 to 10000, got 1000000000000"),
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
        open_dexycb(dexycb_root, faulty=faulty)
    assert str(path) in str(error.value)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("key", ["num_frames", "serials", "mano_sides"])
def test_lists_that_name_each_other(dexycb_root, key):
    """Written out, this text of 400 bytes would have 10^10 items."""
    path = view_folder(dexycb_root).parent / "meta.yml"
    lists = ["- &a0 [1]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11))]
    others = yaml.safe_dump({name: value for name, value in meta(SUBJECTS[0], 0).items() if name != key})
    path.write_text("\n".join(["lists:", *lists, f"{key}: *a10", others]))
    with pytest.raises(ValueError, match=r"plain data, got an error: expected at most \d+ items") as error:
        open_dexycb(dexycb_root)
    assert len(str(error.value)) < 1000
    path.write_text(yaml.safe_dump(meta(SUBJECTS[0], 0)))
    intrinsics = dexycb_root / f"calibration/intrinsics/{SERIALS[0]}_640x480.yml"
    intrinsics.write_text("\n".join(["lists:", *lists, "color: {fx: *a10, fy: 1, ppx: 1, ppy: 1}"]))
    with pytest.raises(ValueError, match=r"plain data, got an error: expected at most \d+ items"):
        open_dexycb(dexycb_root)


def test_serials_may_come_without_quotes(dexycb_root):
    path = view_folder(dexycb_root).parent / "meta.yml"
    path.write_text(yaml.safe_dump(meta(SUBJECTS[0], 0) | {"serials": [int(serial) for serial in SERIALS]}))
    assert len(open_dexycb(dexycb_root)) == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("!!python/object/apply:os.system ['touch marker']", "plain data.*python/object/apply"),
        ("depth: {fx: 1}", "the key 'color'"),
        ("color: {fx: 600, fy: 600, ppx: 320}", "the key 'ppy'"),
        ("color: {fx: [600, 600], fy: 600, ppx: 320, ppy: 240}", r"numbers of shape \(\) for 'fx'"),
    ],
)
def test_faulty_intrinsics(dexycb_root, content, message):
    path = dexycb_root / f"calibration/intrinsics/{SERIALS[1]}_640x480.yml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        open_dexycb(dexycb_root, faulty="skip")
    assert str(path) in str(error.value)


# ---- parts of the tree that are missing


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (f"calibration/intrinsics/{SERIALS[0]}_640x480.yml", "the intrinsics of a camera"),
        ("calibration/intrinsics", r"configuration key data_root[\s\S]*calibration/intrinsics/<serial>"),
        (SUBJECTS[1], r"a subject[\s\S]*10 subjects, 100 recordings each"),
        (f"{SUBJECTS[0]}/{recording_names(SUBJECTS[0])[2]}/meta.yml", "about a recording"),
    ],
)
@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_missing_part(dexycb_root, part, message, faulty):
    path = dexycb_root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=message) as error:
        open_dexycb(dexycb_root, faulty=faulty)
    assert str(path) in str(error.value)


def test_missing_view(dexycb_root):
    shutil.rmtree(view_folder(dexycb_root))
    with pytest.raises(FileNotFoundError, match=r"836212060125"):
        open_dexycb(dexycb_root)


def test_empty_folders_hold_places(dexycb_root):
    """A part of the set keeps the official positions if the other recordings are empty folders."""
    shutil.rmtree(view_folder(dexycb_root, number=1).parent)
    view_folder(dexycb_root, number=1).parent.mkdir()
    dataset = open_dexycb(dexycb_root, subjects=SUBJECTS[:1])
    assert [dataset.get_data_info(i)["capture"] for i in range(len(dataset))] == [0] * 2 + [2] * 6 + [3] * 8
    assert dataset.get_data_info(2)["id"] == 4  # recording 0 has 2 frames of 2 cameras
    assert dataset.index.skipped == {"no hand": 6, "recording without files": 1}
    view_folder(dexycb_root, number=1).mkdir()
    with pytest.raises(FileNotFoundError, match=r"meta.yml \(about a recording\)"):
        open_dexycb(dexycb_root, subjects=SUBJECTS[:1])


def test_other_number_of_recordings(dexycb_root):
    with pytest.raises(ValueError, match=r"expected 100 recordings.*got 5.*sequences_per_subject"):
        open_dexycb(dexycb_root, sequences_per_subject=100)


def test_no_recording_is_left(dexycb_root):
    with pytest.raises(ValueError, match="expected at least one recording among the positions"):
        open_dexycb(dexycb_root, setup="s3", split="val")  # objects 3 and 19: positions from 15 on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"setup": "s4"}, "setup: expected one of .*'s3'.*got 's4'"),
        ({"split": "all"}, "split: expected one of .*'val'.*got 'all'"),
        ({"box": "tight"}, "box: expected one of .*'segmentation'.*got 'tight'"),
        ({"sequences": [-1]}, r"sequences: expected positions from 0 to 4, got \[-1\]"),
        ({"sequences": [5]}, "sequences: expected positions from 0 to 4"),
        ({"index_workers": -1}, "index_workers: expected at least 1, got -1"),
        ({"faulty": "ignore"}, "faulty: expected one of"),
    ],
)
def test_unusable_arguments(dexycb_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        open_dexycb(dexycb_root, **arguments)


def test_unknown_serial(dexycb_root):
    with pytest.raises(FileNotFoundError, match=r"123_640x480.yml"):
        open_dexycb(dexycb_root, serials=["123"])


def test_label_file_rewritten_at_the_same_size(dexycb_root):
    path = view_folder(dexycb_root) / "labels_000000.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays)  # not compressed: the size does not depend on the numbers
    before = open_dexycb(dexycb_root)
    size, times = path.stat().st_size, (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    arrays["joint_3d"][..., 2] += 0.1
    np.savez(path, **arrays)
    os.utime(path, ns=times)  # as copying tools do; the time of the entry tells
    assert path.stat().st_size == size
    after = open_dexycb(dexycb_root)
    moved = after.get_data_info(0)["keypoints_cam"] - before.get_data_info(0)["keypoints_cam"]
    np.testing.assert_allclose(moved[..., 2], 100, atol=1e-3)
    assert after.metainfo["data_source"]["fingerprint"] != before.metainfo["data_source"]["fingerprint"]


def test_a_copy_of_the_data_has_the_same_fingerprint(dexycb_root, tmp_path, monkeypatch):
    """Its files have other times, so it is read once; what is found there is the same."""
    monkeypatch.setattr(source_digests, "UNSETTLED_NS", 0)  # no file is so young that its content counts
    copy = shutil.copytree(dexycb_root, tmp_path / "copy", copy_function=shutil.copyfile)
    one, two = open_dexycb(dexycb_root), open_dexycb(copy)
    assert one.index.folder != two.index.folder
    assert one.metainfo["data_source"]["fingerprint"] == two.metainfo["data_source"]["fingerprint"]
