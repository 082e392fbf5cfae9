"""RHP (= RHD, the Rendered Handpose Dataset): the EPE of InterNet and A2J-Transformer, and hand3d's errors and AUC."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.evaluation.functional import (
    area_under,
    average_errors,
    joint_errors,
    median_error,
    root_align,
    scale_to_bone,
    split_hands,
)
from dfmamba.evaluation.scores import (
    Errors,
    JointTable,
    Protocol,
    Scores,
    constant_pose_errors,
    count_rows,
    joint_details,
    pck,
    require_joints,
    root_relative_errors,
)
from dfmamba.skeleton import HAND_JOINTS, ONE_HAND, TWO_HANDS, WRIST

THRESHOLDS_MM = np.linspace(0, 50, 20)
FIRST_OF_UPPER = 8  # hand3d's '20-50 mm' are the points from here on: 21.05 to 50 mm
BONE = (HAND_JOINTS.index("middle1"), HAND_JOINTS.index("middle2"))  # hand3d's unit of length


def score_rhp(pred: ArrayLike, truth: ArrayLike, valid: ArrayLike) -> Scores:
    """Return RHP's EPE as InterNet and A2J-Transformer have it, and hand3d's errors and AUC.

    EPE: root-relative at the wrist; the mean over the 21 joints of per-joint means, wrist included; right and left
    hands share the joints. hand3d (Zimmermann and Brox): centred on the palm (middle between wrist and middle1), scaled
    by the bone middle1-middle2 of the truth; mean, median, AUC over 0-50 mm with 20 points, and over its points from
    21.05 mm on. hand3d's network predicts in units of that bone; for predictions in mm, the predicted bone is the unit.

    Args:
        pred: (N, 21, 3) in mm, or (N, 42, 3) with one valid hand each.
        truth: As `pred`.
        valid: (N, 21) or (N, 42), the annotated joints (of the chosen hand). With 42, the best constant pose is one for
            right and one for left hands.
    """
    hands = split_hands(pred), split_hands(truth), split_hands(valid)
    plain, scaled = root_relative_errors(*hands), hand3d_errors(*hands)
    constant = Errors(*map(split_hands, constant_pose_errors(truth, valid)))
    curve = pck(scaled, THRESHOLDS_MM)
    upper = slice(FIRST_OF_UPPER, None)
    metrics = {
        "EPE_rr_macro_mm": average_errors(*plain),
        "constant_pose_rr_macro_mm": average_errors(*constant),
        "hands": count_rows(plain),
        "EPE_palm_bonescaled_mean_mm": average_errors(*scaled),
        "EPE_palm_bonescaled_median_mm": median_error(*scaled),
        "AUC_palm_bonescaled_0_50_mm": area_under(*curve),
        "AUC_palm_bonescaled_21_50_mm": area_under(curve.thresholds_mm[upper], curve.fraction[upper]),
        "hands_palm_bonescaled": count_rows(scaled),
    }
    curves = {"palm-centred and bone-scaled (hand3d)": curve,
              "root-relative (not in the protocol)": pck(plain, THRESHOLDS_MM)}
    return Scores(metrics, curves, {"all": joint_details(plain)})


def hand3d_errors(pred: ArrayLike, truth: ArrayLike, valid: ArrayLike) -> Errors:
    """Return hand3d's errors (N, 21): the palm's centre takes the wrist's place and is the origin, a bone the unit.

    Hands without a valid wrist, middle1 and middle2 do not count: neither origin nor unit is known.
    """
    pred, truth = _palm_centred(pred), _palm_centred(truth)
    return Errors(joint_errors(scale_to_bone(pred, truth, BONE), truth), require_joints(valid, *BONE, WRIST))


def _palm_centred(hands: ArrayLike) -> NDArray[np.floating]:
    """Put the palm's centre, the middle between wrist and middle1, in the wrist's place and into the origin."""
    hands = np.array(hands, dtype=np.float64)
    hands[:, WRIST] = (hands[:, WRIST] + hands[:, BONE[0]]) / 2
    return root_align(hands, ONE_HAND.root_of_joint)


def _score_tables(pred: JointTable, truth: JointTable) -> Scores:
    return score_rhp(pred.joints_mm, truth.joints_mm, truth.valid)


PROTOCOL = Protocol(
    prefix="rhp",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "RHP EPE (InterNet, A2J-Transformer), and hand3d's errors",
        "source": "InterNet, A2J-Transformer; hand3d (the data set's authors)",
        "alignment": "rr: the wrist is subtracted from each; palm_bonescaled: centred on the middle of wrist and "
                     "middle1, scaled by the truth's bone middle1-middle2",
        "unit": "mm; AUC between 0 and 1",
        "averages": "macro: mean over 21 joints of per-joint means (or medians), right and left hands pooled",
        "wrists": "included, with error 0",
        "valid joints": "annotated, of the chosen hand, with an annotated wrist; palm_bonescaled: and middle1, middle2",
        "thresholds": "0-50 mm, 20 points, <=; the '21_50' are its points from 21.05 mm on",
        "constant pose": "rr macro error of the best constant pose of each side, fitted on the truth of the same "
                         "samples",
    },
    title="RHP, mm",
    table={
        "root-relative (EPE)": {"mean": "EPE_rr_macro_mm", "median": "", "AUC 0-50": "", "AUC 21-50": "",
                                "constant pose": "constant_pose_rr_macro_mm", "hands": "hands"},
        "palm-centred, bone-scaled (hand3d)": {
            "mean": "EPE_palm_bonescaled_mean_mm", "median": "EPE_palm_bonescaled_median_mm",
            "AUC 0-50": "AUC_palm_bonescaled_0_50_mm", "AUC 21-50": "AUC_palm_bonescaled_21_50_mm",
            "hands": "hands_palm_bonescaled"},
    },
    main="EPE_rr_macro_mm",
    constant="constant_pose_rr_macro_mm",
    ignores_unknown=True,  # records without a valid joint
)
