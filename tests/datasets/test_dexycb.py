from pathlib import Path

import numpy as np
import pytest
from dexycb_fixture import SEQUENCES_PER_SUBJECT, SERIALS, SUBJECTS, write_dexycb

from dfmamba.datasets.dexycb import DexYCBDataset
from dfmamba.skeleton import ONE_HAND


@pytest.fixture
def dexycb_root(tmp_path):
    """A folder in the official layout."""
    write_dexycb(tmp_path)
    return tmp_path


def dataset_at(root, setup="s0", split="train", **arguments):
    return DexYCBDataset(setup, split, **{
        "data_root": str(root), "subjects": SUBJECTS, "serials": SERIALS,
        "sequences_per_subject": SEQUENCES_PER_SUBJECT, "index_workers": 1} | arguments)


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
