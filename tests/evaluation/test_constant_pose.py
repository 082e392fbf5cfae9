import doctest

import numpy as np
import pytest
from scipy.optimize import minimize

import dfmamba.evaluation.constant_pose
from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import mpjpe


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_examples_in_docstrings():
    result = doctest.testmod(dfmamba.evaluation.constant_pose, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


def plain_definition(points, steps=500):
    """Weiszfeld's iteration as it is in books, in double precision, for points that are all apart from the result."""
    place = points.mean(axis=0)
    for _ in range(steps):
        weights = 1 / np.linalg.norm(points - place, axis=1)
        place = weights @ points / weights.sum()
    return place


@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_is_the_plain_definition(rng, spread):
    """Skewed, far from the origin, in single precision, and with more points than one block has."""
    gt = (rng.exponential(scale=spread, size=(20_000, 2, 3)) + 300).astype(np.float32)
    valid = rng.random((20_000, 2)) < 0.9
    pose = best_constant_pose(gt, valid)
    for joint in range(2):
        expected = plain_definition(gt[valid[:, joint], joint].astype(np.float64), steps=60)
        np.testing.assert_allclose(pose[joint], expected, atol=5e-4)


def test_against_scipy(rng):
    gt = rng.exponential(scale=50, size=(25, 4, 3))
    valid = rng.random((25, 4)) < 0.7
    pose = best_constant_pose(gt, valid)
    for joint in range(4):
        points = gt[valid[:, joint], joint]
        result = minimize(
            lambda center, points=points: np.linalg.norm(points - center, axis=1).mean(),
            points.mean(axis=0),
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10},
        )
        np.testing.assert_allclose(pose[joint], result.x, atol=1e-2)
        assert np.linalg.norm(points - pose[joint], axis=1).mean() <= result.fun + 1e-6
    mean_pose = np.broadcast_to(gt.mean(axis=0), gt.shape)
    assert mpjpe(np.broadcast_to(pose, gt.shape), gt, valid) < mpjpe(mean_pose, gt, valid)


def test_at_a_data_point():
    """Three points around a fourth one that weighs most: the median is that point."""
    points = np.array([[0.0, 0, 0], [10, 0, 0], [-6, 8, 0], [-6, -8, 0]])
    np.testing.assert_allclose(best_constant_pose(points[:, None]), [[0, 0, 0]], atol=1e-3)
    assert np.isnan(best_constant_pose(points[:, None], np.zeros((4, 1)))).all()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"valid: expected shape \(4, 2\) .N, J., got \(4, 3\)"):
        best_constant_pose(np.zeros((4, 2, 3)), np.ones((4, 3)))


def test_the_iteration_starts_at_the_medians_and_ends_when_told(rng):
    points = rng.exponential(scale=50, size=(31, 1, 3))
    start = np.median(points[:, 0], axis=0)
    np.testing.assert_allclose(best_constant_pose(points, max_steps=0)[0], start, atol=1e-12)
    weights = 1 / np.linalg.norm(points[:, 0] - start, axis=1)
    one_step = weights @ points[:, 0] / weights.sum()
    for options in ({"max_steps": 1}, {"tolerance_mm": 1e3}):
        np.testing.assert_allclose(best_constant_pose(points, **options)[0], one_step, atol=1e-4)
    result = best_constant_pose(points)[0]
    assert np.linalg.norm(result - one_step) > 0.1
    np.testing.assert_allclose(result, plain_definition(points[:, 0]), atol=2e-3)


def test_a_place_that_many_points_share(rng):
    """Two of five points lie in one place, where the coordinates' medians are not: the pull of the others is less."""
    points = np.array([[0.0, 0, 0], [0, 0, 0], [30, 1, 0], [31, -9, 5], [-1, 40, 2]])

    def mean_distance(center):
        return np.linalg.norm(points - center, axis=1).mean()

    result = minimize(mean_distance, [1.0, 1, 1], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert mean_distance(best_constant_pose(points[:, None])[0]) == pytest.approx(result.fun, abs=1e-5)
    assert result.fun < min(mean_distance(point) for point in points) - 0.01
