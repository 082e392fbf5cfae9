"""The order of joints and the sides of hands, on SYNTHETIC hands whose joints are mixed up on purpose."""

import numpy as np
import pytest

from dfmamba.data_tools.bone_checks import (
    bends_to_the_left,
    count_wrong_bends,
    describe_unlikely_bones,
    find_other_order,
    measure_bones,
    other_orders,
)
from dfmamba.skeleton import HAND_JOINTS, inverse
from dfmamba.synthesis.hand import articulate, mirror, sample_shape
from dfmamba.synthesis.poses import sample_angles

POSES = ("open", "flat", "relaxed", "fist", "point", "victory", "three", "rock", "call", "thumbup")


@pytest.fixture(scope="module")
def hands():
    """Right hands (n, 21, 3) of ten people."""
    rng = np.random.default_rng(0)
    return np.concatenate([articulate(sample_shape(rng), sample_angles(pose, rng, 2)).joints_mm for pose in POSES])


def all_valid(hands):
    return np.ones(hands.shape[:2], dtype=bool)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_hands_have_the_bones_of_hands(hands, scale):
    bones = measure_bones(scale * hands, all_valid(hands))
    assert bones.misfit < 0.1
    assert describe_unlikely_bones(bones) == ""
    assert find_other_order(scale * hands, all_valid(hands)) == ""


def test_bones_worked_out_by_hand():
    """Two valid joints of the index finger 30 mm apart; all other bones are not known."""
    joints, valid = np.zeros((1, 21, 3)), np.zeros((1, 21), dtype=bool)
    for name, y in (("index1", 0.0), ("index2", 30.0)):
        joints[0, HAND_JOINTS.index(name)] = 0, y, 0
        valid[0, HAND_JOINTS.index(name)] = True
    bones = measure_bones(joints, valid)
    known = np.isfinite(bones.lengths_mm)
    assert [name for name, there in zip(bones.names, known, strict=True) if there] == ["index2"]
    assert bones.lengths_mm[known].tolist() == [30.0]
    assert bones.factors[known].tolist() == [1.0]  # it alone says how large the hand is
    assert find_other_order(joints, valid) == ""


@pytest.mark.parametrize("name", other_orders())
def test_other_orders_are_named(hands, name):
    mixed = hands[:, list(inverse(other_orders()[name]))]
    assert find_other_order(mixed, all_valid(hands)) == name


def test_order_written_out():
    """Fingers from the base to the tip, wrist first, read as RHD's order: tip to base, wrist first."""
    file_order = [
        "wrist",
        *(f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in (1, 2, 3, 4)),
    ]
    read_as = [
        "wrist",
        *(f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in (4, 3, 2, 1)),
    ]
    rng = np.random.default_rng(1)
    right = articulate(sample_shape(rng), sample_angles("relaxed", rng, 8)).joints_mm
    in_file = right[:, [HAND_JOINTS.index(joint) for joint in file_order]]
    got = in_file[:, [read_as.index(joint) for joint in HAND_JOINTS]]
    assert find_other_order(got, all_valid(got)).startswith("fingers from base to tip")


def test_a_single_joint_in_the_wrong_place(hands):
    mixed = hands.copy()
    mixed[:, HAND_JOINTS.index("ring4")] += [0, 150, 0]
    assert "ring4 with" in describe_unlikely_bones(measure_bones(mixed, all_valid(hands)))


def test_bend_of_a_hand_worked_out_by_hand():
    """A right hand shows its palm to the camera, fingers up: the thumb's side is at the right, tips come nearer."""
    joints = np.zeros((1, 21, 3))
    for x, finger in ((30, "index"), (10, "middle"), (-10, "ring"), (-30, "pinky")):
        joints[0, HAND_JOINTS.index(f"{finger}1")] = x, -40, 0
        joints[0, HAND_JOINTS.index(f"{finger}4")] = x, -60, -25
    np.testing.assert_allclose(bends_to_the_left(joints, all_valid(joints)), [-0.5])  # the palm is 50 mm long
    assert count_wrong_bends(joints, all_valid(joints), np.array([False])) == (0, 1)
    assert count_wrong_bends(joints, all_valid(joints), np.array([True])) == (1, 1)
    valid = all_valid(joints)
    for hidden, expected in (("ring4", -0.5), ("middle1", -0.5), ("pinky4", np.nan)):  # one finger is too few
        valid[0, HAND_JOINTS.index(hidden)] = False
        np.testing.assert_allclose(bends_to_the_left(joints, valid), [expected])
    assert count_wrong_bends(joints, valid, np.array([True])) == (0, 0)


def test_swapped_sides_and_mirrored_axes(hands):
    right, left = np.zeros(len(hands), dtype=bool), np.ones(len(hands), dtype=bool)
    wrong, votes = count_wrong_bends(hands, all_valid(hands), right)
    assert wrong == 0
    assert votes >= 10
    assert count_wrong_bends(mirror(hands), all_valid(hands), left) == (0, votes)
    assert count_wrong_bends(hands, all_valid(hands), left) == (votes, votes)
    assert count_wrong_bends(hands * [1, -1, 1], all_valid(hands), right) == (votes, votes)
