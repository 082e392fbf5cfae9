"""InterHand2.6M hand by hand, against numbers worked out by hand and against the adapter of two hands."""

import numpy as np
import pytest

from dfmamba.datasets import InterHand26MDataset
from dfmamba.datasets.interhand26m.hands import InterHand26MHandsDataset
from dfmamba.geometry import project
from dfmamba.skeleton import LEFT, RIGHT, hand_slice


@pytest.fixture
def hands(interhand_root):
    return InterHand26MHandsDataset(split="test", data_root=str(interhand_root))


def test_one_sample_for_every_hand_with_a_wrist(hands):
    # 11 right; 12 left; 13 both; 14 both, of which the right one has no wrist
    found = [(sample["id"], int(sample["hand_type"][0].argmax())) for sample in (hands[i] for i in range(len(hands)))]
    assert found == [(11, RIGHT), (12, LEFT), (13, RIGHT), (13, LEFT), (14, LEFT)]


def test_left_hand_by_hand(hands):
    sample = hands[4]  # camera 400001 sees the left wrist at (20 - 120, -90 - 10, 930 - 30)
    np.testing.assert_allclose(sample["keypoints_cam"][0, 41], [-100, -100, 900])
    np.testing.assert_allclose(sample["keypoints"][0, 41], [100 - 1000 / 9, 200 - 1200 / 9, 0], rtol=1e-5)
    assert sample["abs_depth"].tolist() == [0, 900]
    assert sample["root_depth"].tolist() == [0] * 21 + [900] * 21
    assert sample["hand_type"].tolist() == [[0, 1]]
    assert sample["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    assert sample["rel_root_valid"].tolist() == [0]


@pytest.mark.parametrize(("number", "pair", "side"), [(0, 0, RIGHT), (1, 1, LEFT), (2, 2, RIGHT), (3, 2, LEFT)])
def test_a_hand_is_a_part_of_the_sample_with_both(hands, interhand_root, number, pair, side):
    both = InterHand26MDataset(split="test", data_root=str(interhand_root))[pair]
    hand, part, other = hands[number], hand_slice(side), hand_slice(1 - side)
    valid = np.flatnonzero(both["keypoints_visible"][0, part])
    assert np.flatnonzero(hand["keypoints_visible"][0, part]).tolist() == valid.tolist()
    for key in ("keypoints", "keypoints_cam", "keypoints_visible"):
        np.testing.assert_allclose(hand[key][0, part][valid], both[key][0, part][valid], atol=1e-3, err_msg=key)
        assert not np.delete(hand[key][0, part], valid, axis=0).any(), key
        assert not hand[key][:, other].any(), key
    assert hand["abs_depth"][side] == both["abs_depth"][side]
    for key in ("img_path", "img_id", "seq_name", "camera", "capture", "subject", "frame_idx", "focal"):
        assert np.array_equal(hand[key], both[key]), key
    assert set(hand) == set(both)


@pytest.mark.parametrize("number", range(5))
def test_box_is_the_tight_one_of_the_hands_joints_times_1_2(hands, number):
    sample = hands[number]
    valid = sample["keypoints_visible"] > 0
    points = project(sample["keypoints_cam"][valid], sample["focal"], sample["principal_pt"])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * (high - low)
    np.testing.assert_allclose(sample["bbox"][0], [*(low - margin), *(high + margin)], rtol=1e-4, atol=1e-3)


def test_skipped_hands_are_counted(hands):
    hands.full_init()
    rows, skipped = hands.load_annotations()
    assert rows.tolist() == [0, 3, 4, 5, 7]
    assert skipped["hand without a wrist or with one joint only"] == 1


def test_rootnet_is_refused():
    with pytest.raises(ValueError, match=r"root_depth: expected 'gt' for single hands, got 'rootnet.json'"):
        InterHand26MHandsDataset(root_depth="rootnet.json", lazy_init=True)
