"""The joint order against the one InterHand2.6M publishes."""

import pytest

from dfmamba.skeleton import (
    FROM_DEXYCB,
    FROM_RHD,
    FROM_RHD_HAND,
    NYU_14,
    NYU_14_OF_36,
    NYU_36_NAMES,
    ONE_HAND,
    TWO_HANDS,
    inverse,
    skeleton_with,
)


def test_parents_are_those_of_the_official_skeleton_file():
    right = [1, 2, 3, 20, 5, 6, 7, 20, 9, 10, 11, 20, 13, 14, 15, 20, 17, 18, 19, 20, -1]
    assert list(ONE_HAND.parents) == right
    assert list(TWO_HANDS.parents) == right + [-1 if parent < 0 else parent + 21 for parent in right]


def test_names_roots_and_swap():
    assert TWO_HANDS.names[0] == "right_thumb4"
    assert TWO_HANDS.names[7] == "right_index1"
    assert TWO_HANDS.names[41] == "left_wrist"
    assert TWO_HANDS.roots == (20, 41)
    assert [TWO_HANDS.names[i] for i in TWO_HANDS.flip[:2]] == ["left_thumb4", "left_thumb3"]
    assert [TWO_HANDS.flip[i] for i in TWO_HANDS.flip] == list(range(42))
    assert TWO_HANDS.root_of_joint == (20,) * 21 + (41,) * 21
    assert len(TWO_HANDS.bones) == 40
    assert (TWO_HANDS.finger_of(25), TWO_HANDS.finger_of(41)) == ("index", "wrist")


def test_unknown_number_of_joints():
    assert [skeleton_with(number) for number in (21, 42, 14)] == [ONE_HAND, TWO_HANDS, NYU_14]
    with pytest.raises(ValueError, match=r"expected 21 .* or 14 .*, got 17"):
        skeleton_with(17)


def test_orders_of_other_data_sets_by_name():
    """The names are written down here as each data set publishes them; none comes from a permutation."""
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    dexycb = ["wrist", *(f"{finger}{number}" for finger in fingers for number in (1, 2, 3, 4))]  # base to tip
    rhd = ["wrist", *(f"{finger}{number}" for finger in fingers for number in (4, 3, 2, 1))]  # tip to base
    assert [dexycb[i] for i in FROM_DEXYCB] == list(ONE_HAND.names)
    assert [rhd[i] for i in FROM_RHD_HAND] == list(ONE_HAND.names)
    left_first = [f"{side}_{name}" for side in ("left", "right") for name in rhd]
    assert [left_first[i] for i in FROM_RHD] == list(TWO_HANDS.names)


def test_inverse_orders_are_those_of_the_toolkits():
    assert inverse(FROM_DEXYCB) == (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
    assert inverse(FROM_RHD) == (41, *range(21, 41), 20, *range(20))


def test_nyu_names():
    # the pinky's and the thumb's tip and the palm's first three, as Tompson's script names them
    assert [NYU_36_NAMES[i] for i in (0, 24, 30, 31, 32)] == ["F1_KNU3_A", "TH_KNU3_A", "PALM_1", "PALM_2", "PALM_3"]
    named = dict(zip(NYU_14.names, (NYU_36_NAMES[i] for i in NYU_14_OF_36), strict=True))
    assert {name: named[name] for name in ("middle_tip", "index_mid", "thumb_root", "palm")} == {
        "middle_tip": "F3_KNU3_A", "index_mid": "F4_KNU2_B", "thumb_root": "TH_KNU2_B", "palm": "PALM_3"}
    assert NYU_14.finger_of(7) == "index"
    assert [NYU_14.finger_of(i) for i in (11, 12, 13)] == ["wrist", "wrist", "palm"]
    with pytest.raises(ValueError, match="root for each hand"):
        _ = NYU_14.root_of_joint
