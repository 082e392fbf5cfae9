"""The checks that all parsers share, against plain loops and known rotations."""

import doctest
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dfmamba.datasets.rhp.annotations
import dfmamba.datasets.validation
from dfmamba.datasets.dexycb.recordings import Selection, list_meta_files
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import (
    MAX_DISTANCE_MM,
    Fact,
    Hands,
    are_rotations,
    box_fact,
    camera_facts,
    check_typical_reach,
    describe_factor,
    describe_rotation,
    image_size_fact,
    in_float32,
    keep_sound,
    pose_facts,
    side_fact,
)
from dfmamba.skeleton import ONE_HAND, TWO_HANDS

PATH = Path("annotations.json")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("module", [dfmamba.datasets.validation, dfmamba.datasets.rhp.annotations])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def fact(*holds, reason="", name="sound"):
    return Fact(PATH, name, np.array(holds), lambda row: f"row {row}", reason)


def test_the_first_fact_that_fails_decides():
    skipped, faults = Counter(), RecordErrorPolicy("skip")
    sound = keep_sound(
        "abcd", [fact(True, False, True, False), fact(True, True, False, False, reason="hidden")], faults, skipped
    )
    assert sound.tolist() == [True, False, False, False]
    assert (faults.count, skipped) == (2, {"hidden": 1})
    with pytest.raises(ValueError, match=r"annotations.json: record b: expected sound, got row 1"):
        keep_sound("abcd", [fact(True, False, True, False)], RecordErrorPolicy(), skipped)
    assert keep_sound([], [fact()], faults, skipped).tolist() == []


def test_fact_about_a_side_table():
    of_records = fact(True, False).of_rows(np.array([1, 0, 1]))
    assert of_records.holds.tolist() == [False, True, False]
    assert "got row 1" in str(of_records.error("x", 2))
    own_files = Fact(lambda row: Path(f"file{row}"), "sound", np.array([True, False]), lambda row: row)
    assert "file1: " in str(own_files.of_rows(np.array([0, 0, 1])).error("x", 2))


def test_what_float32_makes_of_numbers():
    assert in_float32([1e39, -1e39, 1e-46, 1.5]).tolist() == [INF, -INF, 0, 1.5]


@pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS])
def test_hands_against_plain_loops(skeleton, monkeypatch):
    monkeypatch.setattr(dfmamba.datasets.validation, "CHUNK", 3)  # of 7 records
    rng = np.random.default_rng(0)
    joints = rng.normal([0, 0, 500], 100, (7, skeleton.num_joints, 3))
    joints[0, :, 0] += 900  # the largest coordinate need not be the depth
    joints[1, :, 1] -= 900
    valid = rng.random(joints.shape[:2]) > 0.5
    valid[:, list(skeleton.roots)] = True
    valid[5] = False
    valid[5, skeleton.roots[0]] = True  # a wrist alone has no size
    joints[2, 3], valid[2, 3] = NAN, True
    joints[~valid] = INF  # nobody looks there
    hands = Hands(lambda rows: joints[rows], valid, skeleton, skeleton.roots)
    for record in range(7):
        those = joints[record, valid[record]]
        assert hands.finite[record] == (record != 2)
        if record == 2:
            continue
        np.testing.assert_allclose(hands.nearest_mm[record], min(those[:, 2]), rtol=1e-6)
        np.testing.assert_allclose(hands.farthest_mm[record], max(abs(those.ravel())), rtol=1e-6)
        for number, root in enumerate(skeleton.roots):
            own = [joint for joint in range(21 * number, 21 * number + 21) if valid[record, joint]]
            distances = [np.sqrt(sum((joints[record, joint] - joints[record, root]) ** 2)) for joint in own]
            expected = max(distances) if len(own) > 1 else NAN
            np.testing.assert_allclose(hands.reach_mm[record, number], expected, rtol=1e-5)
            assert hands.valid_joints[record, number] == len(own)


def test_joints_at_the_bounds():
    joints = np.tile(np.linspace(0, 100, 21)[:, None] * [1, 0, 0] + [0, 0, 500.0], (4, 1, 1))
    joints[1, 4, 2], joints[2, 4, 2], joints[3, :, 2] = 0.99, 1.01, MAX_DISTANCE_MM
    hands = Hands(lambda rows: joints[rows], np.ones((4, 21), dtype=bool), ONE_HAND, ONE_HAND.roots)
    holds = np.stack([one.holds for one in hands.facts(PATH, "xyz", "mm")])
    assert holds.all(axis=0).tolist() == [True, False, True, True]
    assert hands.typical_reach_mm(np.array([True, False, False, False])).tolist() == [100]


@pytest.mark.parametrize(
    ("reach", "refused"),
    [([150, 180, 17, 16], False), ([16, 18, 17, 150], True), ([1500, 1800], True), ([], False), ([90], False)],
)
def test_median_hand(reach, refused):
    if refused:
        with pytest.raises(ValueError, match=r"annotations.json: expected joints in cm, .* too (small|large) by 10"):
            check_typical_reach(PATH, np.array(reach, dtype=np.float32), "cm")
    else:
        check_typical_reach(PATH, np.array(reach, dtype=np.float32), "cm")


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (180, ""),
        (100, ""),
        (0, ""),
        (INF, ""),
        (NAN, ""),
        (0.18, "too small by 1000: metres where mm belong?"),
        (18, "too small by 10: centimetres where mm belong?"),
        (1.8e5, "too large by 1000: mm taken for metres?"),
        (1.8, "too small by 100"),
        (1800, "too large by 10: mm taken for centimetres?"),
    ],
)
def test_factor(measured, text):
    assert describe_factor(measured, 180) == text


def test_rotations():
    rotations = Rotation.random(50, random_state=0).as_matrix()
    assert are_rotations(rotations).all()
    assert are_rotations(rotations.round(4)).all()  # as printed
    assert not are_rotations(rotations.round(2)).any()
    for spoil, words in (
        (lambda r: 2 * r, "scales"),
        (lambda r: -r, "mirrors"),
        (lambda r: 0 * r, "singular"),
        (lambda r: r * NAN, "not finite"),
        (lambda r: r * [1, 1, 0], "singular"),
        (lambda r: r * [1, 1, -1], "mirrors"),
        (lambda r: r * [1, 2, 0.5], "skewed"),
        (lambda r: r * 1e200, "not finite|scales"),
    ):
        assert not are_rotations(spoil(rotations)).any()
        with np.errstate(all="ignore"):
            assert any(word in describe_rotation(spoil(rotations)[0]) for word in words.split("|"))


@pytest.mark.parametrize(
    ("focal", "point", "good"),
    [
        ([500, 500], [320, 240], True),
        ([500, 0], [320, 240], False),
        ([-500, 500], [320, 240], False),
        ([NAN, 500], [320, 240], False),
        ([500, 1e39], [320, 240], False),
        ([1e-46, 500], [320, 240], False),
        ([500, 500], [1e39, 240], False),
        ([500, 500], [NAN, 240], False),
        ([500, 500], [-300, 0], True),
    ],
)
def test_cameras(focal, point, good):
    assert all(one.holds.all() for one in camera_facts(PATH, np.array([focal]), np.array([point]))) == good


@pytest.mark.parametrize(("place", "good"), [([900, -900, 0], True), ([1e6, 0, 0], False), ([NAN, 0, 0], False)])
def test_places_of_cameras(place, good):
    assert all(one.holds.all() for one in pose_facts(PATH, np.eye(3)[None], np.array([place]))) == good


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ([10, 20, 1, 1], True),
        ([-50, -60, 9, 9], True),
        ([0, 0, 0, 5], False),
        ([0, 0, 5, -1], False),
        ([NAN, 0, 5, 5], False),
        ([0, 0, 1e39, 5], False),
        ([0, 0, 5, 1e-46], False),
        ([2e6, 0, 5, 5], False),
    ],
)
def test_boxes(box, good):
    assert box_fact(PATH, np.array([box])).holds.tolist() == [good]


@pytest.mark.parametrize(
    ("size", "known", "required"),
    [
        ((640, 480), True, True),
        ((0, 0), True, False),
        ((640, 0), False, False),
        ((-1, -1), False, False),
        ((10**6, 10**6), False, False),
    ],
)
def test_image_sizes(size, known, required):
    assert image_size_fact(PATH, np.array([size])).holds.tolist() == [known]
    assert image_size_fact(PATH, np.array([size]), required=True).holds.tolist() == [required]


def test_sides():
    """Right, left, both, both, both: of whom the right hand alone has valid joints in the first four."""
    valid = np.zeros((5, 42), dtype=bool)
    valid[:4, 3] = True
    valid[4, 30] = True
    hand_type = np.array([[1, 0], [0, 1], [1, 1], [1, 1], [1, 1]], dtype=bool)
    assert side_fact(PATH, hand_type, valid).holds.tolist() == [True, False, True, True, True]
    assert "got 'left', and valid joints of the right hand only" in str(side_fact(PATH, hand_type, valid).error(1, 1))


@pytest.mark.parametrize("name", ["subjects", "serials", "sequences"])
def test_selection_that_names_something_twice(tmp_path, name):
    selection = Selection(("a",), ("1",), (0,), 1)
    with pytest.raises(ValueError, match=f"{name}: expected each once"):
        list_meta_files(tmp_path, selection._replace(**{name: getattr(selection, name) * 2}))
