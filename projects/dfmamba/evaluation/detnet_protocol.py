"""Zhou et al. 2020 (DetNet): errors up to the hand's size, in mm with the ground truth's size and in units of the hand.

`MPJPE_middle1_bonescaled_macro_mm` and the AUC with 15 points equal `validate` in train_detnet.py (`global_align` of
utils/align.py, `EvalUtil.get_measures(20, 50, 15)` of utils/eval/zimeval.py) of MengHao666/Minimal-Hand-pytorch, the
PyTorch port. The AUC with 16 points has the thresholds of the authors' own `calculate_auc`: 20, 22, ..., 50 mm.
`MPJPE_rr_bonescaled_macro_mm` equals `validate` in adapt_detnet_dual.py of ut-vision/S2DHand with `--root_idx 0`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import area_under, average_errors, joint_errors, root_align, split_hands
from dfmamba.evaluation.protocol import (
    Errors,
    JointTable,
    Protocol,
    Scores,
    bone_scaled_errors,
    count_rows,
    joint_details,
    pck,
    require_joints,
)
from dfmamba.skeleton import HAND_JOINTS, NUM_HAND_JOINTS, TWO_HANDS, WRIST

THRESHOLDS_MM = {"authors": np.linspace(20, 50, 16), "PyTorch port": np.linspace(20, 50, 15)}
ROOT = HAND_JOINTS.index("middle1")
BONE = (WRIST, ROOT)
MAIN, CONSTANT = "MPJPE_middle1_bonescaled_macro_mm", "constant_pose_middle1_bonescaled_macro_mm"
SCALE_FREE = "MPJPE_middle1_scalefree_macro_bones"


def score_detnet(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Scores:
    """Return errors of hands whose size is taken from the ground truth, or is no matter.

    Each hand has middle1 in the origin and the length of the bone from the wrist to there as its unit. 'scalefree' are
    the errors in these units, of prediction and ground truth each in its own. 'bonescaled' are the same times the
    length of the ground truth's bone: mm, but with a size that no image tells. macro: mean over the 21 joints of
    per-joint means, right and left hands pooled. The AUC is that of the curve over 20-50 mm at the authors' 16 points,
    and at the port's 15. 'rr' has the wrist in the origin instead, as in S2DHand.

    Args:
        pred: (N, 21 or 42, 3), each hand in any unit and at any place.
        gt: (N, 21 or 42, 3) in mm.
        valid: (N, 21 or 42), the annotated joints. Hands without a valid wrist and middle1 do not count.
    """
    hands, gts, annotated = split_hands(pred), split_hands(gt), split_hands(valid)
    mask = require_joints(annotated, *BONE)
    pred_units, _ = in_units_of_the_hand(hands)
    true_units, bone_mm = in_units_of_the_hand(gts)
    scale_free = Errors(joint_errors(pred_units, true_units), mask)
    scaled = Errors(scale_free.values_mm * bone_mm[:, None], mask)
    at_wrist = bone_scaled_errors(hands, gts, annotated)
    pose = best_constant_pose(true_units, mask)
    constant = joint_errors(np.broadcast_to(pose, true_units.shape), true_units) * bone_mm[:, None]
    curves = {
        f"middle1 in the origin, bone-scaled ({len(points)} points)": pck(scaled, points)
        for points in THRESHOLDS_MM.values()
    }
    metrics = {
        MAIN: average_errors(*scaled),
        **{_auc_name(len(curve.thresholds_mm)): area_under(*curve) for curve in curves.values()},
        "MPJPE_rr_bonescaled_macro_mm": average_errors(*at_wrist),
        SCALE_FREE: average_errors(*scale_free),
        CONSTANT: average_errors(constant, mask),
        "hands": count_rows(scaled),
    }
    return Scores(metrics, curves, {"all": joint_details(scaled)})


def _auc_name(points: int) -> str:
    return f"AUC_middle1_bonescaled_20_50_mm_{points}_points"


def in_units_of_the_hand(hands: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return hands (N, 21, 3) with middle1 in the origin and the bone wrist-middle1 as unit, and its lengths (N,).

    Joints of a hand whose bone has no length are NaN.
    """
    centered = root_align(hands, (ROOT,) * NUM_HAND_JOINTS)
    length = np.linalg.norm(centered[:, WRIST], axis=-1)
    return centered / np.where(length > 0, length, np.nan)[:, None, None], length


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    return score_detnet(pred.joints_mm, gt.joints_mm, gt.valid)


PROTOCOL = Protocol(
    prefix="detnet",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "DetNet: errors up to the hand's size (Zhou et al. 2020)",
        "source": "minimal-hand and its PyTorch port; S2DHand for 'rr'",
        "equals": "MengHao666/Minimal-Hand-pytorch, train_detnet.py, validate; utils/align.py, global_align; "
        "utils/eval/zimeval.py, EvalUtil.get_measures (MPJPE_middle1_bonescaled_macro_mm, AUC with 15 "
        "points); "
        "ut-vision/S2DHand, adapt_detnet_dual.py, validate with --root_idx 0 (rr)",
        "alignment": "middle1: this joint of each is in the origin; rr: the wrist. bonescaled: the prediction is "
        "scaled by the GROUND TRUTH's bone wrist-middle1; scalefree: each in units of its own bone",
        "unit": "mm, or the length of the bone; AUC between 0 and 1",
        "averages": "macro: mean over 21 joints of per-joint means, right and left hands pooled",
        "wrists": "included; so is the joint in the origin, with error 0",
        "valid joints": "annotated, with an annotated wrist and middle1 of the same hand",
        "thresholds": "20-50 mm, <=; 16 points: the authors' calculate_auc, 15 points: the PyTorch port",
        "constant-pose baseline": "best constant pose in units of the hand, scaled by the ground truth's bone",
    },
    title="DetNet, size of the hand from the ground truth",
    table={
        "at middle1, mm": {
            "MPJPE": MAIN,
            **{f"AUC 20-50, {len(points)} points": _auc_name(len(points)) for points in THRESHOLDS_MM.values()},
            "constant-pose baseline": CONSTANT,
            "hands": "hands",
        },
        "at the wrist, mm": {"MPJPE": "MPJPE_rr_bonescaled_macro_mm"},
        "at middle1, bones": {"MPJPE": SCALE_FREE},
    },
    main=MAIN,
    constant=CONSTANT,
)
