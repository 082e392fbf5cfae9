"""The scores of one's own data by hand, and those in the image by mmpose's functions; what is known after a flip."""

import numpy as np
import pytest
from mmpose.evaluation.functional import keypoint_epe, keypoint_pck_accuracy

from dfmamba.datasets.own_data.protocol import score_own_data
from dfmamba.datasets.sample import mirror

RNG = np.random.default_rng(0)
WRISTS = [20, 41]


@pytest.fixture
def joints():
    """Two samples; all joints but the wrists are predicted 3, 4, 12 mm off: 13 mm in space, 12 mm in depth."""
    gt = RNG.normal(scale=40, size=(2, 42, 3)) + np.array([0, 0, 700])
    off = np.where(np.isin(np.arange(42), WRISTS)[:, None], 0, [3.0, 4.0, 12.0])
    return gt + off, gt, np.ones((2, 42), dtype=bool)


def test_errors_by_hand(joints):
    metrics = score_own_data(*joints).metrics
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(13 * 40 / 42)
    assert metrics["depth_error_rr_macro_mm"] == pytest.approx(12 * 40 / 42)
    assert np.isnan(metrics["EPE_micro_px"])


def test_only_what_is_known_counts(joints):
    """The left hands are not known in space, and the second sample's depths are not known at all."""
    pred, gt, valid = joints
    pred[:, 21:40] += 500
    depth = np.array([[1, 0], [0, 0]])
    metrics = score_own_data(pred, gt, valid, space_known=[[1, 0], [1, 0]], depth_known=depth).metrics
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(13 * 20 / 21)
    assert metrics["depth_error_rr_macro_mm"] == pytest.approx(12 * 20 / 21)
    assert (metrics["samples"], metrics["samples_depth"]) == (2, 1)


def test_errors_in_the_image_are_mmposes(joints):
    gt_px = RNG.uniform(0, 200, (2, 42, 2))
    pred_px = gt_px + RNG.normal(scale=15, size=gt_px.shape)
    valid, box_px = RNG.random((2, 42)) < 0.8, np.array([100.0, 60.0])
    metrics = score_own_data(*joints[:2], valid, pred_px=pred_px, gt_px=gt_px, box_px=box_px).metrics
    assert metrics["EPE_micro_px"] == pytest.approx(keypoint_epe(pred_px, gt_px, valid))
    _, pck, _ = keypoint_pck_accuracy(pred_px, gt_px, valid, 0.2, np.repeat(box_px[:, None], 2, axis=1))
    assert metrics["PCK_macro_02_box"] == pytest.approx(pck, abs=1e-6)


def test_what_is_known_changes_hands_in_a_flip():
    results = {"img": np.zeros((4, 6, 3), np.uint8), "flip_indices": [*range(21, 42), *range(21)]}
    results |= {"depth_known": np.array([1.0, 0.0]), "space_known": np.array([0.0, 1.0])}
    mirror(results)
    assert results["depth_known"].tolist() == [0, 1]
    assert results["space_known"].tolist() == [1, 0]
