import doctest
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dfmamba.evaluation.functional
import dfmamba.evaluation.report
from dfmamba.evaluation.functional import (
    joint_errors,
    mpjpe,
    mrrpe,
    pck_auc,
    pck_curve,
    per_joint_mean,
    procrustes_align,
    root_align,
    split_hands,
)
from dfmamba.skeleton import TWO_HANDS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_data(rng, samples=30):
    """Two hands with joints some 100 mm apart, errors of some 10 mm, and invalid joints whose values are nonsense."""
    gt = rng.normal(scale=100, size=(samples, 42, 3))
    pred = gt + rng.normal(scale=10, size=gt.shape)
    valid = rng.random((samples, 42)) < 0.6
    valid[:, 7] = False  # a joint without any valid sample
    gt[~valid] = 1e6
    return pred, gt, valid


@pytest.mark.parametrize("module", [dfmamba.evaluation.functional, dfmamba.evaluation.report])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_needs_numpy_alone():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'mmengine', 'mmcv', 'mmpose', 'scipy']));"
        "import dfmamba.evaluation.functional"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_root_align_uses_the_root_of_the_same_hand(rng):
    joints = rng.normal(size=(5, 42, 3))
    aligned = root_align(joints, TWO_HANDS.root_of_joint)
    np.testing.assert_allclose(aligned[:, 3], joints[:, 3] - joints[:, 20])
    np.testing.assert_allclose(aligned[:, 24], joints[:, 24] - joints[:, 41])
    assert not aligned[:, [20, 41]].any()
    np.testing.assert_allclose(root_align(joints + 7, TWO_HANDS.root_of_joint), aligned)


# ---- MPJPE


def test_three_four_zero_is_five(rng):
    gt = rng.normal(size=(1, 42, 3))
    pred = gt.copy()
    pred[0, 8] += [3, 4, 0]
    assert joint_errors(pred, gt)[0, 8] == pytest.approx(5)
    assert mpjpe(pred, gt) == pytest.approx(5 / 42)


def test_macro_and_micro_by_hand():
    """Joint 0: errors 2, 4, 6; joint 1: 10 once. Macro (4 + 10) / 2, micro (2 + 4 + 6 + 10) / 4."""
    gt = np.zeros((3, 2, 3))
    pred = np.zeros((3, 2, 3))
    pred[:, 0, 0] = 2, 4, 6
    pred[:, 1, 1] = 10, 50, 50
    valid = np.array([[1, 1], [1, 0], [1, 0]])
    assert mpjpe(pred, gt, valid) == 7
    assert mpjpe(pred, gt, valid, average="micro") == 5.5
    assert mpjpe(pred, gt, valid, exclude_joints=[0]) == 10


@pytest.mark.parametrize("exclude_joints", [(), TWO_HANDS.roots])
def test_mpjpe_is_the_definition(rng, exclude_joints):
    """The definition transcribed: lists of errors, one list a joint."""
    pred, gt, valid = random_data(rng)
    lists = {joint: [] for joint in range(42) if joint not in exclude_joints}
    for n in range(len(pred)):
        for joint in lists:
            if valid[n, joint]:
                dx, dy, dz = pred[n, joint] - gt[n, joint]
                lists[joint].append((dx * dx + dy * dy + dz * dz) ** 0.5)
    means = [sum(errors) / len(errors) for errors in lists.values() if errors]
    assert mpjpe(pred, gt, valid, exclude_joints=exclude_joints) == pytest.approx(sum(means) / len(means), abs=1e-6)
    pooled = [error for errors in lists.values() for error in errors]
    assert mpjpe(pred, gt, valid, average="micro", exclude_joints=exclude_joints) == pytest.approx(
        sum(pooled) / len(pooled), abs=1e-6
    )
    per_joint = per_joint_mean(joint_errors(pred, gt), valid)
    assert np.isnan(per_joint[7])
    assert per_joint[8] == pytest.approx(sum(lists[8]) / len(lists[8]))


def test_wrists_count_with_error_zero(rng):
    gt = root_align(rng.normal(scale=50, size=(9, 42, 3)), TWO_HANDS.root_of_joint)
    pred = root_align(rng.normal(scale=50, size=(9, 42, 3)), TWO_HANDS.root_of_joint)
    assert mpjpe(pred, gt) == pytest.approx(mpjpe(pred, gt, exclude_joints=TWO_HANDS.roots) * 40 / 42)


def test_swapped_hands_are_noticed(rng):
    gt = root_align(rng.normal(scale=50, size=(9, 42, 3)), TWO_HANDS.root_of_joint)
    assert mpjpe(gt[:, list(TWO_HANDS.flip)], gt) > 50


def test_empty_and_broken_input(rng):
    pred, gt, valid = random_data(rng)
    assert np.isnan(mpjpe(pred[:0], gt[:0], valid[:0]))
    assert np.isnan(mpjpe(pred, gt, np.zeros_like(valid), average="micro"))
    gt[~valid] = np.nan  # where it does not count it must not matter
    assert np.isfinite(mpjpe(pred, gt, valid))
    joint = tuple(np.argwhere(valid)[0])
    pred[joint] = np.nan  # where it counts it must be seen
    assert np.isnan(mpjpe(pred, gt, valid))
    assert np.isnan(mpjpe(pred, gt, valid, average="micro"))
    with pytest.raises(ValueError, match=r"same shape, got \(30, 42, 3\) and \(30, 21, 3\)"):
        mpjpe(pred, gt[:, :21])
    with pytest.raises(ValueError, match=r"valid: expected .*\(30, 42\) \(N, J\), got \(30, 21\)"):
        mpjpe(pred, gt, valid[:, :21])
    with pytest.raises(ValueError, match="average: expected 'macro' or 'micro', got 'mean'"):
        mpjpe(pred, gt, average="mean")


# ---- PCK


@pytest.mark.parametrize(("error", "auc"), [(0, 1), (60, 0), (25, 0.5), (10, 0.8), (50, 0.5 / 99)])
def test_auc_of_a_constant_error(rng, error, auc):
    """Errors e in 0..50 mm give 1 - e / 50 up to half a step of 50/99 mm; at 50 the last point counts (<=)."""
    gt = rng.normal(size=(4, 21, 3))
    assert pck_auc(gt + np.array([0, error, 0]), gt) == pytest.approx(auc, abs=0.5 / 99 + 1e-9)
    if error in (0, 60):
        assert pck_auc(gt + np.array([0, error, 0]), gt) == auc


def test_threshold_is_inclusive():
    gt = np.zeros((1, 1, 3))
    pred = gt + np.array([5.0, 0, 0])
    assert pck_curve(pred, gt, [4.999, 5.0]).tolist() == [0, 1]


def test_auc_is_the_definition(rng):
    """EvalUtil transcribed: a curve and an area for each joint, then their mean."""
    pred, gt, valid = random_data(rng)
    areas = []
    thresholds = [20 + 30 * step / 14 for step in range(15)]
    for joint in range(42):
        errors = [np.linalg.norm(pred[n, joint] - gt[n, joint]) for n in range(30) if valid[n, joint]]
        if errors:
            curve = [np.mean([error <= threshold for error in errors]) for threshold in thresholds]
            areas.append(sum((a + b) / 2 for a, b in zip(curve[1:], curve[:-1], strict=True)) / 14)
    assert pck_auc(pred, gt, valid, low_mm=20, high_mm=50, num_thresholds=15) == pytest.approx(np.mean(areas))


def test_unusable_thresholds():
    with pytest.raises(ValueError, match="expected low < high and at least 2 thresholds, got 50, 20, 15"):
        pck_auc(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), low_mm=50, high_mm=20, num_thresholds=15)


# ---- Procrustes


def similarity(rng, mirror=False):
    matrix = Rotation.random(rng=rng).as_matrix() * rng.uniform(0.3, 3)
    return lambda joints: joints @ (matrix * ([-1, 1, 1] if mirror else 1)) + rng.normal(size=3) * 100


def test_procrustes_undoes_similarity_transforms(rng):
    gt = rng.normal(scale=50, size=(6, 21, 3))
    moved = np.stack([similarity(rng)(joints) for joints in gt])
    np.testing.assert_allclose(procrustes_align(moved, gt), gt, atol=1e-9)


def test_procrustes_and_mirror_images(rng):
    gt = rng.normal(scale=50, size=(6, 21, 3))
    mirrored = np.stack([similarity(rng, mirror=True)(joints) for joints in gt])
    assert mpjpe(procrustes_align(mirrored, gt), gt) > 10
    np.testing.assert_allclose(procrustes_align(mirrored, gt, reflection=True), gt, atol=1e-9)


def test_procrustes_is_the_best_similarity(rng):
    """Against scipy's rotation, and against small changes of the result."""
    gt = rng.normal(scale=50, size=(1, 21, 3))
    pred = similarity(rng)(gt) + rng.normal(scale=30, size=gt.shape)
    aligned = procrustes_align(pred, gt)
    source, target = pred[0] - pred[0].mean(axis=0), gt[0] - gt[0].mean(axis=0)
    rotation, _ = Rotation.align_vectors(target, source)
    turned = rotation.apply(source)
    expected = turned * (turned * target).sum() / (source**2).sum() + gt[0].mean(axis=0)
    np.testing.assert_allclose(aligned[0], expected, atol=1e-6)
    best = ((aligned - gt) ** 2).sum()
    for _ in range(20):
        nudge = Rotation.from_rotvec(rng.normal(scale=0.01, size=3)).as_matrix() * (1 + rng.normal(scale=0.01))
        assert ((aligned @ nudge + rng.normal(scale=0.1, size=3) - gt) ** 2).sum() > best


def test_procrustes_uses_valid_joints_only(rng):
    gt = rng.normal(scale=50, size=(3, 21, 3))
    valid = np.ones((3, 21), dtype=bool)
    valid[:, 5:9] = False
    valid[2] = False
    moved = similarity(rng)(gt)
    nonsense = gt.copy()
    nonsense[~valid] = np.nan
    aligned = procrustes_align(moved, nonsense, valid)
    np.testing.assert_allclose(aligned[:2], gt[:2], atol=1e-9)  # the invalid joints are moved with the others
    np.testing.assert_array_equal(aligned[2], moved[2])


def test_procrustes_does_not_look_at_joints_that_are_not_valid(rng):
    gt = rng.normal(scale=50, size=(2, 21, 3))
    pred = similarity(rng)(gt) + rng.normal(scale=20, size=gt.shape)
    valid = rng.random((2, 21)) < 0.7
    expected = procrustes_align(pred, gt, valid)
    for mark in (np.nan, 1.0, 1e6):
        joints = (np.where(valid[..., None], part, mark) for part in (pred, gt))
        marked = procrustes_align(*joints, valid)
        np.testing.assert_allclose(marked[valid], expected[valid], atol=1e-9)


def test_procrustes_of_predictions_in_one_point(rng):
    gt = rng.normal(scale=50, size=(2, 21, 3)) + 300
    point = np.full((2, 21, 3), 7.0)
    for epsilon in (0.0, 1e-8):
        aligned = procrustes_align(point, gt, epsilon=epsilon)
        np.testing.assert_allclose(aligned, np.broadcast_to(gt.mean(axis=1, keepdims=True), gt.shape))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"joints: expected shape .N, 21 or 42, ...., got \(3, 14, 3\)"):
        split_hands(np.zeros((3, 14, 3)))
    with pytest.raises(ValueError, match=r"joints: expected shape .* got \(42,\)"):
        split_hands(np.zeros(42))
    assert split_hands(np.arange(84).reshape(2, 42))[1:3, 0].tolist() == [21, 42]  # right and left in turn
    assert split_hands(np.zeros((2, 21, 3))).shape == (2, 21, 3)


def test_thresholds_of_an_area():
    """Two of them are a trapezoid; one is none, and neither is an empty range."""
    zero = np.zeros((1, 1, 3))
    assert pck_auc(np.full((1, 1, 3), [25.0, 0, 0]), zero, num_thresholds=2) == 0.5
    for options in ({"num_thresholds": 1}, {"low_mm": 50.0}, {"low_mm": 60.0}):
        with pytest.raises(ValueError, match="expected low < high and at least 2 thresholds"):
            pck_auc(zero, zero, **options)


# ---- MRRPE


def test_mrrpe(rng):
    gt_right, gt_left = rng.normal(size=(2, 3, 3))
    pred_right, pred_left = gt_right + 5, gt_left + 5  # a common shift does not count
    pred_left[1] += [0, 6, 8]
    pred_left[2] += 1000
    valid = [True, True, False]
    assert mrrpe(pred_right, pred_left, gt_right, gt_left, valid) == pytest.approx(5)  # (0 + 10) / 2
    assert np.isnan(mrrpe(pred_right, pred_left, gt_right, gt_left, [False] * 3))
