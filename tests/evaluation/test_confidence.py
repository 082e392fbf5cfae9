"""Confidence intervals: a textbook case, and coverage by simulation."""

import numpy as np
import pytest

from dfmamba.evaluation.confidence import bootstrap, interval_over_seeds, sum_by_sequence


def test_students_interval_of_three_seeds():
    # mean 20, deviation 1, t(0.975, 2) = 4.3027: half width 4.3027 / sqrt(3)
    assert interval_over_seeds([19, 20, 21]) == pytest.approx((20, 20 - 2.48414, 20 + 2.48414), abs=1e-4)
    assert np.isnan(interval_over_seeds([19]).low)


def test_students_interval_of_two_seeds_and_other_levels():
    # t(0.975, 1) = 12.7062, t(0.95, 2) = 2.91999; the deviation of 18 and 20 is sqrt(2), and sqrt(2) / sqrt(2) = 1
    assert interval_over_seeds([18, 20]) == pytest.approx((19, 19 - 12.7062, 19 + 12.7062), abs=1e-4)
    half = 2.91999 / 3**0.5
    assert interval_over_seeds([19, 20, 21], level=0.9) == pytest.approx((20, 20 - half, 20 + half), abs=1e-4)
    assert np.isnan(interval_over_seeds([19]).high)
    assert interval_over_seeds([19]).mean == 19


def plain_bootstrap(ours, theirs, level, draws, seed):
    """The definition draw by draw, with the same random numbers: both get the same sequences, each its own seeds."""
    rng = np.random.default_rng(seed)
    sequences = len(ours.counts)
    times = rng.multinomial(sequences, [1 / sequences] * sequences, draws)
    systems = [ours] if theirs is None else [ours, theirs]
    chosen = [rng.integers(0, len(system.sums), (draws, len(system.sums))) for system in systems]
    results = []
    for draw in range(draws):
        means = []
        for system, seeds in zip(systems, chosen, strict=True):
            total, number = 0.0, 0
            for sequence in range(sequences):
                total += times[draw, sequence] * np.mean([system.sums[one, sequence] for one in seeds[draw]])
                number += times[draw, sequence] * system.counts[sequence]
            means.append(total / number if number else np.nan)
        results.append(means[0] - (means[1] if theirs else 0))
    results = np.sort([result for result in results if not np.isnan(result)])
    tail = 100 * (1 - level) / 2
    return np.percentile(results, tail), np.percentile(results, 100 - tail)


@pytest.mark.parametrize("level", [0.95, 0.6])
@pytest.mark.parametrize("paired", [False, True])
def test_the_bootstrap_is_the_definition(level, paired, recwarn):
    """Sequences of different lengths, and one without any joint that counts: draws of that one alone are left out."""
    rng = np.random.default_rng(5)
    valid = rng.random((30, 4)) < 0.7
    sequence = rng.integers(0, 3, 30)
    valid[sequence == 1] = False
    ours, theirs = (sum_by_sequence(rng.exponential(20, (seeds, 30, 4)), valid, sequence, 3) for seeds in (2, 5))
    found = bootstrap(ours, theirs if paired else None, level, draws=300, seed=7)
    expected = plain_bootstrap(ours, theirs if paired else None, level, 300, 7)
    assert (found.low, found.high) == pytest.approx(expected)
    mean = [system.sums.sum() / len(system.sums) / valid.sum() for system in (ours, theirs)]
    assert found.mean == pytest.approx(mean[0] - mean[1] if paired else mean[0])
    assert not recwarn.list


def test_the_defaults_of_the_bootstrap():
    errors = simulated(np.random.default_rng(3), 0, np.zeros(40))
    assert bootstrap(errors) == bootstrap(errors, None, 0.95, 4000, 0) != bootstrap(errors, seed=1)
    assert interval_over_seeds([1, 2, 4]) == interval_over_seeds([1, 2, 4], 0.95)


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


def test_the_intervals_cover_the_gt_about_as_often_as_they_say():
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
