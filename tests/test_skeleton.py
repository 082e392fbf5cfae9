"""The joint order against the one InterHand2.6M publishes."""

import pytest

from dfmamba.skeleton import ONE_HAND, TWO_HANDS, skeleton_with


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
    assert skeleton_with(21) is ONE_HAND
    with pytest.raises(ValueError, match=r"expected 21 .* or 42 .*, got 14"):
        skeleton_with(14)
