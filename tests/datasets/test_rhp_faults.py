"""Broken and hostile files of RHD: an error that names file and record or, with faulty='skip', a counted skip."""

import os
import pickle

import numpy as np
import pytest
from file_changes import set_at
from PIL import Image
from rhp_fixture import coco, frame, frames, open_rhp, sides_of, write_coco, write_rhp

NAN = float("nan")

# ---- the pickles


def changed_frame(**changes):
    """A change of the pickle's content: entries of frame 1."""
    return lambda content: content[1].update(changes)


def at(array, value, *place):
    """A copy of an array with another value at a place."""
    array = array.copy()
    array[place] = value
    return array


GOOD = frame()
RECORD_FAULTS = {
    "no camera": (lambda content: content[1].pop("K"), "the key 'K'"),
    "no frame": (lambda content: content.update({1: [1, 2]}), "the key 'xyz', got a list"),
    "no flags": (changed_frame(uv_vis=GOOD["uv_vis"][:, :2]), r"\(42, 3\) for 'uv_vis', got shape \(42, 2\)"),
    "NaN camera": (changed_frame(K=at(GOOD["K"], NAN, 0, 2)), r"'K' \[\[fx, 0, cx\]"),
    "singular camera": (changed_frame(K=np.zeros((3, 3))), r"'K' \[\[fx, 0, cx\]"),
    "transposed camera": (changed_frame(K=GOOD["K"].T), r"'K' \[\[fx, 0, cx\]"),
    "small camera": (changed_frame(K=np.eye(2)), r"shape \(3, 3\) for 'K'"),
}


@pytest.mark.parametrize("name", RECORD_FAULTS)
def test_fault_of_a_frame(tmp_path, name):
    change, message = RECORD_FAULTS[name]
    content = frames()
    change(content)
    path = write_rhp(tmp_path, content)
    with pytest.raises(ValueError, match=f"record 1: expected .*{message}") as error:
        open_rhp(tmp_path, hand="most_visible")
    assert str(path) in str(error.value)
    tolerant = open_rhp(tmp_path, hand="most_visible", faulty="skip")
    assert sorted(sides_of(tolerant)) == [0, 2, 3]
    assert tolerant.index.skipped == {"faulty record": 1, "no valid joint": 1}


@pytest.mark.parametrize("key", ["one", None, (1, 2), 1.5])
def test_frame_without_a_number(tmp_path, key):
    write_rhp(tmp_path, frames() | {key: frame()})
    with pytest.raises(ValueError, match="an integer for 'number'"):
        open_rhp(tmp_path)


def test_faults_of_joints_that_do_not_count(tmp_path):
    content = frames()
    content[0]["xyz"][:5] = NAN  # the left hand is not chosen
    content[1]["xyz"][25] = NAN
    content[3]["xyz"][30] = [0, 0, -1]  # behind the camera
    write_rhp(tmp_path, content)
    dataset = open_rhp(tmp_path)
    assert sorted(sides_of(dataset)) == [0, 1, 2]
    assert dataset.index.skipped == {"no valid joint": 1, "joint behind the camera": 1}
    assert all(np.isfinite(dataset.get_data_info(i)["keypoints_cam"]).all() for i in range(3))


class RunsCode:
    """Unpickled as usual, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class CallsBuiltin:
    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_file_that_is_no_plain_pickle(tmp_path, faulty):
    marker = tmp_path / "marker"
    whole = pickle.dumps(frames(), protocol=2)
    contents = {
        "expected a complete pickle.*cut short": whole[:-100],
        "complete pickle": b"",
        "posix.system": pickle.dumps(frames() | {9: RunsCode(marker)}),
        "eval, which is not plain data": pickle.dumps(CallsBuiltin(), protocol=2),
        "not plain data": pickle.dumps(frames() | {9: np.array([RunsCode(marker)], dtype=object)}),
        "a dictionary of frames by number, got a list": pickle.dumps([frames()]),
    }
    for message, content in contents.items():
        path = write_rhp(tmp_path)
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            open_rhp(tmp_path, faulty=faulty)
        assert str(path) in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_all_protocols(tmp_path, protocol):
    write_rhp(tmp_path).write_bytes(pickle.dumps(frames(), protocol=protocol))
    assert len(open_rhp(tmp_path)) == 4


def test_missing_pickle(rhp_root):
    path = rhp_root / "evaluation/anno_evaluation.pickle"
    path.unlink()
    with pytest.raises(FileNotFoundError, match="configuration key ann_file") as error:
        open_rhp(rhp_root)
    assert str(path) in str(error.value)
    assert "training/color/00000.png" in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "half-written", "no image", "huge"])
def test_bad_mask(rhp_root, damage):
    path = rhp_root / "evaluation/mask/00001.png"
    kind, message = ValueError, "cannot be decoded|expected an image file"
    if damage == "missing":
        path.unlink()
        kind, message = FileNotFoundError, "a mask, which decides on the hand"
    elif damage == "half-written":
        content = np.random.default_rng(0).integers(0, 34, (320, 320), dtype=np.uint8)
        Image.fromarray(content).save(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif damage == "no image":
        path.write_bytes(b"no picture")
    else:
        Image.new("1", (9000, 9000)).save(path)  # 81 million pixels in 10 kB
        message = "at most 64000000 pixels, got 9000 x 9000"
    with pytest.raises(kind, match=message) as error:
        open_rhp(rhp_root)
    assert str(path) in str(error.value)
    tolerant = open_rhp(rhp_root, faulty="skip")
    assert sorted(sides_of(tolerant)) == [0, 2, 3]
    assert tolerant.index.skipped["faulty record"] == 1


# ---- the JSON files


JSON_FAULTS = {
    "no image": (set_at("annotations", 1, "image_id", 77), "an image with the id 77"),
    "ragged joints": (set_at("annotations", 1, "joint_cam", [[1, 2, 3]] * 20 + [[1]]), r"\(21, 3\) for 'joint_cam'"),
    "no flags": (set_at("annotations", 1, "joint_valid", "del"), "the key 'joint_valid'"),
    "few flags": (set_at("annotations", 1, "joint_valid", [1] * 20), r"\(21,\) for 'joint_valid'"),
    "no camera": (set_at("images", 1, "cam_param", "del"), "the key 'cam_param'"),
    "drive": (set_at("images", 1, "file_name", "C:\\secret.png"), "stays in the folder of the data, got"),
}


@pytest.mark.parametrize("name", JSON_FAULTS)
def test_fault_of_an_annotation(rhp_root, name):
    change, message = JSON_FAULTS[name]
    content = coco("internet", {0: "right", 1: "left", 2: "right"})
    change(content)
    path = write_coco(rhp_root, content)
    with pytest.raises(ValueError, match=f"record 101: expected .*{message}") as error:
        open_rhp(rhp_root, ann_file=path.name)
    assert str(path) in str(error.value)
    tolerant = open_rhp(rhp_root, ann_file=path.name, faulty="skip")
    assert sorted(sides_of(tolerant)) == [100, 102]
    assert tolerant.index.skipped == {"faulty record": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "the key 'images', got a list"),
        ('{"images": []}', "the key 'annotations'"),
        ('{"images": [], "annotations": {"1": 2}}', "a list for 'annotations', got a dict"),
    ],
)
@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_json_that_is_unusable_as_a_whole(rhp_root, text, message, faulty):
    path = rhp_root / "RHD_evaluation.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        open_rhp(rhp_root, ann_file=path.name, faulty=faulty)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "split: expected one of .*'train', 'test'.*got 'val'"),
        ({"hand": "both"}, "hand: expected one of .*'prominent'.*got 'both'"),
        ({"validity": "all"}, "validity: expected one of .*'visible'.*got 'all'"),
        ({"faulty": "ignore"}, "faulty: expected one of .*got 'ignore'"),
    ],
)
def test_unusable_arguments(rhp_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        open_rhp(rhp_root, **arguments)


def test_mask_swapped_at_the_same_size(rhp_root):
    """Frame 0 has more pixels of the right hand, frame 1 of the left one: their masks change places."""
    before = open_rhp(rhp_root)
    masks = [rhp_root / f"evaluation/mask/{number:05d}.png" for number in (0, 1)]
    contents = [path.read_bytes() for path in masks]
    assert len({len(content) for content in contents}) == 1
    for path, content in zip(masks, reversed(contents), strict=True):
        path.write_bytes(content)
    after = open_rhp(rhp_root)
    sides = [
        [int(dataset.get_data_info(number)["hand_type"][0].argmax()) for number in (0, 1)]
        for dataset in (before, after)
    ]
    assert sides == [[0, 1], [1, 0]]
    assert after.metainfo["data_source"]["fingerprint"] != before.metainfo["data_source"]["fingerprint"]
