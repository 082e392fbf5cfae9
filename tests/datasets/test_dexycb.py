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
