import math

import numpy as np
import pytest

from dfmamba.evaluation.found_hands import NEAR, HandInPicture, match, score_found

RNG = np.random.default_rng(0)
PLACES = RNG.uniform(0, 100, (21, 2))
PLACES[0], PLACES[1] = (0, 0), (100, 80)  # the box is 100 px wide
SPACE = RNG.normal(0, 40, (21, 3))
ALL = np.ones(21, bool)


def hand(shift=(0.0, 0.0), side="right", space=SPACE, valid=ALL):
    return HandInPicture(side, PLACES + shift, space, valid)


def test_errors_worked_out_by_hand():
    """Shifted by (3, 4) px: 5 px, a twentieth of 100; scaled by 1.1 about the wrist and moved: see below."""
    score = score_found([[hand()]], [[hand((3, 4), "left", 1.1 * SPACE + 7)]])
    assert (score.there, score.found, score.right_side, score.too_many) == (1, 1, 0, 0)
    assert score.error_px == pytest.approx(5)
    assert score.error_of_size == pytest.approx(0.05)
    assert score.root_relative_mm == pytest.approx(0.1 * np.linalg.norm(SPACE - SPACE[20], axis=1).mean())
    assert score.procrustes_mm == pytest.approx(0, abs=1e-9)


def test_a_hand_is_found_only_from_near():
    for share, found in ((NEAR - 0.01, 1), (NEAR + 0.01, 0)):
        score = score_found([[hand()]], [[hand((100 * share, 0))]])
        assert (score.found, score.too_many) == (found, 1 - found)
    assert math.isnan(score.error_px)


def test_each_hand_counts_once_and_the_nearest_is_taken():
    there = [hand(), hand((20, 0))]
    found = [hand((12, 0)), hand((2, 0)), hand((300, 0))]
    assert match(there, found) == [(0, 1), (1, 0)]
    score = score_found([there], [found])
    assert (score.there, score.found, score.too_many) == (2, 2, 1)
    assert score.error_px == pytest.approx((2 + 8) / 2)


def test_joints_that_are_not_known_do_not_count():
    valid = ALL.copy()
    valid[5] = False
    wild = hand()
    wild.keypoints_px[5] += 1e6
    wild.keypoints_mm[5] += 1e6
    moved = HandInPicture("right", PLACES + 0, SPACE + 0, ALL)
    true = HandInPicture("right", wild.keypoints_px, wild.keypoints_mm, valid)
    score = score_found([[true]], [[moved]])
    assert score.error_px == score.root_relative_mm == pytest.approx(0)
    assert score.procrustes_mm == pytest.approx(0, abs=1e-9)


def test_space_without_a_wrist_or_without_mm_has_no_error_in_space():
    no_wrist = ALL.copy()
    no_wrist[20] = False
    for true in (hand(valid=no_wrist), hand(space=None)):
        score = score_found([[true]], [[hand()]])
        assert score.found == 1
        assert math.isnan(score.root_relative_mm)
        assert math.isnan(score.procrustes_mm)


def test_pictures_without_hands_and_programs_that_find_none():
    score = score_found([[], [hand()]], [[hand()], []])
    assert (score.there, score.found, score.too_many) == (1, 0, 1)


def test_one_list_for_each_picture():
    with pytest.raises(ValueError, match="found: expected one list for each of 2 pictures, got 1"):
        score_found([[], []], [[]])
