"""Confidence intervals: a textbook case, and coverage by simulation."""

import numpy as np
import pytest

from dfmamba.evaluation.confidence import bootstrap, interval_over_seeds, sum_by_sequence


def test_students_interval_of_three_seeds():
    # mean 20, deviation 1, t(0.975, 2) = 4.3027: half width 4.3027 / sqrt(3)
    assert interval_over_seeds([19, 20, 21]) == pytest.approx((20, 20 - 2.48414, 20 + 2.48414), abs=1e-4)
    assert np.isnan(interval_over_seeds([19]).low)


def test_sums_by_sequence():
    errors = np.arange(12.0).reshape(1, 4, 3)
    valid = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 1]])
    found = sum_by_sequence(errors, valid, [0, 1, 1, 0], 3)
    assert found.sums.tolist() == [[0 + 1 + 2 + 10 + 11, 3, 0]]
    assert found.counts.tolist() == [5, 1, 0]


def simulated(rng, offset, effects, seeds=8):
    """Return errors of a system: a true mean of 20 + offset, the sequences' own effects, seeds, and noise."""
    errors = 20 + offset + effects[:, None] + rng.normal(0, 0.5, (seeds, 1, 1)) + rng.normal(0, 1, (seeds, 40, 5))
    return sum_by_sequence(errors, np.ones((40, 5)), np.arange(40), 40)


def test_the_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered, difference_covered = 0, 0
    for number in range(100):
        effects = rng.normal(0, 3, 40)
        ours, theirs = simulated(rng, 0, effects), simulated(rng, 1, effects)
        alone, difference = bootstrap(ours, draws=400, seed=number), bootstrap(ours, theirs, draws=400, seed=number)
        covered += alone.low <= 20 <= alone.high
        difference_covered += difference.low <= -1 <= difference.high
        assert difference.high - difference.low < alone.high - alone.low  # the sequences' effects cancel
    assert 84 <= covered <= 99
    assert 84 <= difference_covered <= 99


def test_equal_systems_show_no_difference():
    errors = simulated(np.random.default_rng(3), 0, np.zeros(40))
    found = bootstrap(errors, errors)
    assert found.mean == 0
    assert found.low < 0 < found.high
