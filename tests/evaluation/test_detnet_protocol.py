"""DetNet's protocol by hand and against plain loops; its metric on samples of one and of two hands."""

import numpy as np
import pytest
from mmpose.registry import METRICS

from dfmamba.evaluation.detnet_metric import DetNetMPJPE
from dfmamba.evaluation.detnet_protocol import score_detnet
from dfmamba.skeleton import HAND_JOINTS, ONE_HAND, TWO_HANDS

WRIST, MIDDLE1 = HAND_JOINTS.index("wrist"), HAND_JOINTS.index("middle1")
MM, BONES = "MPJPE_middle1_bonescaled_macro_mm", "MPJPE_middle1_scalefree_macro_bones"


def random_hands(count=6, seed=0):
    """Return predictions, ground truths (N, 21, 3) and validity (N, 21) with the reference bone in place."""
    rng = np.random.default_rng(seed)
    gt = rng.normal(scale=40, size=(count, 21, 3))
    valid = rng.random((count, 21)) < 0.8
    valid[:, [WRIST, MIDDLE1]] = True
    return gt + rng.normal(scale=10, size=gt.shape), gt, valid


def test_by_hand():
    gt = np.zeros((1, 21, 3))
    gt[0, WRIST] = 0, 80, 0
    pred = np.full((1, 21, 3), 5.0)  # the place does not matter
    pred[0, WRIST] += 0, 2, 0  # a hand in other units: 2 are 80 mm
    pred[0, 0] += 0.3, 0.4, 0  # 0.5 of 2 units, or 20 mm
    scores = score_detnet(pred, gt, np.ones((1, 21))).metrics
    assert scores[MM] == pytest.approx(20 / 21)
    assert scores[BONES] == pytest.approx(0.25 / 21)
    # at the wrist the others are where they were: the prediction is the ground truth but for one joint
    assert scores["MPJPE_rr_bonescaled_macro_mm"] == pytest.approx(20 / 21)
    assert scores["hands"] == 1


def test_origin_is_middle1_or_the_wrist():
    gt = np.zeros((1, 21, 3))
    gt[0, WRIST] = 0, 80, 0
    pred = gt.copy()
    pred[0, WRIST] = 80, 0, 0  # the bone is turned: at middle1 the wrist is wrong, at the wrist all the others are
    scores = score_detnet(pred, gt, np.ones((1, 21))).metrics
    assert scores[MM] == pytest.approx(80 * 2**0.5 / 21)
    assert scores["MPJPE_rr_bonescaled_macro_mm"] == pytest.approx(80 * 2**0.5 * 20 / 21)


def test_equals_plain_loops():
    pred, gt, valid = random_hands()
    mm, bones = [], []
    within, coarse = [], []
    for joint in range(21):
        errors = []
        for hand in range(len(gt)):
            if valid[hand, joint]:
                unit = np.linalg.norm(gt[hand, WRIST] - gt[hand, MIDDLE1])
                scale = unit / np.linalg.norm(pred[hand, WRIST] - pred[hand, MIDDLE1])
                moved = (pred[hand, joint] - pred[hand, MIDDLE1]) * scale + gt[hand, MIDDLE1]
                errors.append((np.linalg.norm(moved - gt[hand, joint]), unit))
        mm.append(np.mean([error for error, _ in errors]))
        bones.append(np.mean([error / unit for error, unit in errors]))
        within.append([np.mean([error <= threshold for error, _ in errors]) for threshold in range(20, 51, 2)])
        coarse.append([np.mean([error <= 20 + 30 * step / 14 for error, _ in errors]) for step in range(15)])
    scores = score_detnet(pred, gt, valid).metrics
    assert scores[MM] == pytest.approx(np.mean(mm))
    assert scores[BONES] == pytest.approx(np.mean(bones))
    area = np.trapezoid(np.mean(within, axis=0), dx=2) / 30
    assert scores["AUC_middle1_bonescaled_20_50_mm_16_points"] == pytest.approx(area)
    ports = np.trapezoid(np.mean(coarse, axis=0), dx=30 / 14) / 30
    assert scores["AUC_middle1_bonescaled_20_50_mm_15_points"] == pytest.approx(ports)
    assert ports != pytest.approx(area, abs=1e-4)  # two ways of counting


def test_size_and_place_of_the_prediction_do_not_matter():
    pred, gt, valid = random_hands()
    sizes, places = np.random.default_rng(1).uniform(0.001, 9, (6, 1, 1)), np.arange(18.0).reshape(6, 1, 3)
    scores, moved = score_detnet(pred, gt, valid).metrics, score_detnet(sizes * pred + places, gt, valid).metrics
    assert moved == pytest.approx(scores)


def test_hands_without_the_bone_do_not_count():
    pred, gt, valid = random_hands()
    expected = score_detnet(pred[2:], gt[2:], valid[2:]).metrics
    valid[0, WRIST] = valid[1, MIDDLE1] = False
    gt[0, WRIST] = np.nan
    assert score_detnet(pred, gt, valid).metrics == pytest.approx(expected)


def test_a_prediction_without_size_is_wrong():
    pred, gt, valid = random_hands()
    pred[3] = 7
    scores = score_detnet(pred, gt, valid).metrics
    assert np.isnan(scores[MM])
    perfect = score_detnet(gt, gt, valid).metrics
    for points in (15, 16):
        name = f"AUC_middle1_bonescaled_20_50_mm_{points}_points"
        assert scores[name] < perfect[name] == 1


def test_constant_pose_is_beaten_by_a_good_prediction():
    rng = np.random.default_rng(0)
    shape = rng.normal(scale=40, size=(21, 3))
    gt = shape + rng.normal(scale=15, size=(50, 21, 3))
    scores = score_detnet(gt + rng.normal(scale=5, size=gt.shape), gt, np.ones((50, 21))).metrics
    assert 0 < scores[MM] < 0.6 * scores["constant_pose_middle1_bonescaled_macro_mm"]


@pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS])
def test_metric_reads_samples(skeleton):
    metric = METRICS.build({"type": "DetNetMPJPE", "num_joints": skeleton.num_joints})
    pred, gt, valid = random_hands()
    for number, (prediction, joints, flags) in enumerate(zip(pred, gt, valid, strict=True)):
        if skeleton is TWO_HANDS:  # one hand of two: the other one is 0
            place = [(0, 21), (21, 0)][number % 2]
            prediction, joints = (np.pad(part, (place, (0, 0))) for part in (prediction, joints))
            flags = np.pad(flags, place)
        metric.process(
            None,
            [
                {
                    "id": number,
                    "pred_instances": {"keypoints_cam": prediction[None]},
                    "gt_instances": {
                        "keypoints_cam": joints[None],
                        "keypoints_visible": flags[None].astype(np.float32),
                    },
                }
            ],
        )
    result = metric.evaluate(len(pred))
    expected = score_detnet(pred, gt, valid).metrics
    assert result == pytest.approx({f"detnet/{name}": value for name, value in expected.items()}, rel=1e-4)


def test_result_files_are_the_data_sets_affair():
    with pytest.raises(ValueError, match=r"result_file: expected none.*got 'a.json'"):
        DetNetMPJPE(result_file="a.json")
