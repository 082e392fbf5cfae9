"""Confidence intervals of mean errors over seeds of the training and over sequences of the test set."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def interval_over_seeds(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean of one number for each seed; its bounds are NaN for fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


class SequenceErrors(NamedTuple):
    """Errors added up for each seed and sequence, and how many they are.

    Attributes:
        sums: (seeds, sequences) in mm.
        counts: (sequences,), joints that count.
    """

    sums: NDArray[np.floating]
    counts: NDArray[np.integer]


def sum_by_sequence(errors_mm: ArrayLike, valid: ArrayLike, sequence: ArrayLike, num_sequences: int) -> SequenceErrors:
    """Add up errors (seeds, N, J) where valid (N, J), for each sequence; `sequence` (N,) numbers them from 0."""
    errors, valid = np.asarray(errors_mm, dtype=np.float64), np.asarray(valid, dtype=bool)
    sequence = np.asarray(sequence)
    by_sample = np.where(valid, errors, 0).sum(axis=-1)
    sums = np.array([np.bincount(sequence, of_seed, num_sequences) for of_seed in by_sample], dtype=np.float64)
    return SequenceErrors(sums, np.bincount(sequence, valid.sum(axis=1), num_sequences).astype(np.int64))


def bootstrap(
    ours: SequenceErrors, theirs: SequenceErrors | None = None, level: float = 0.95, draws: int = 4000, seed: int = 0
) -> Interval:
    """Return the interval of a mean error in mm, or of a difference of two, over seeds and sequences at once.

    Each draw takes seeds and, independently, sequences with replacement; both systems get the same sequences, as they
    were tested on the same images, but seeds of their own. The bounds are percentiles of the draws.
    """
    rng = np.random.default_rng(seed)
    sequences = len(ours.counts)

    def mean_of(errors: SequenceErrors, weights: NDArray[np.int64]) -> NDArray[np.floating]:
        seeds = rng.integers(0, len(errors.sums), (len(weights), len(errors.sums)))
        sums = (errors.sums[seeds].mean(axis=1) * weights).sum(axis=1)
        means: NDArray[np.floating] = sums / (weights * errors.counts).sum(axis=1)
        return means

    weights = rng.multinomial(sequences, np.full(sequences, 1 / sequences), draws)
    with np.errstate(invalid="ignore"):  # draws of sequences without any joint that counts are left out below
        drawn = mean_of(ours, weights) - (mean_of(theirs, weights) if theirs else 0)
    mean = _mean(ours) - (_mean(theirs) if theirs else 0)
    low, high = np.nanpercentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return Interval(mean, float(low), float(high))


def _mean(errors: SequenceErrors) -> float:
    """Return the mean error over all seeds."""
    return float(errors.sums.mean(axis=0).sum() / errors.counts.sum())
