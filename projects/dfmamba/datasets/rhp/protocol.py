"""RHP (= RHD, the Rendered Handpose Dataset): the EPE of InterNet and A2J-Transformer, and hand3d's errors and AUC.

`EPE_rr_macro_mm` equals `Dataset.evaluate` in data/RHD/dataset.py of facebookresearch/InterHand2.6M. The `hand3d` row
equals eval_full.py of lmb-freiburg/hand3d with `EvalUtil.get_measures` of its utils/general.py, and with
validity='annotated' its eval3d.py, which counts all joints. Both take a network's output in units of the bone
middle1-middle2: predictions in mm are divided by their own bone, and that step is ours.
"""

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
from dfmamba.evaluation.protocol import (
    Curve,
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
MIDDLE1 = HAND_JOINTS.index("middle1")
BONE = (MIDDLE1, HAND_JOINTS.index("middle2"))  # hand3d's unit of length


def score_rhp(
    pred: ArrayLike,
    gt: ArrayLike,
    valid: ArrayLike,
    *,
    all_joints: ArrayLike | None = None,
    seen: ArrayLike | None = None,
) -> Scores:
    """Return RHP's EPE as InterNet and A2J-Transformer have it, and hand3d's errors and AUC.

    EPE: root-relative at the wrist; the mean over the 21 joints of per-joint means, wrist included; right and left
    hands share the joints. hand3d (Zimmermann and Brox): centered on the palm (middle between wrist and middle1),
    scaled by the bone middle1-middle2 of the ground truth; mean, median, AUC over 0-50 mm with 20 points, and over its
    points from 21.05 mm on. Its hands are counted in two ways:
        hand3d              as its own code: the ground truth's palm and bone are known whether they are seen or not
                            (the set is rendered), each joint counts if it is seen, the palm if wrist or middle1 is.
                            Only where `all_joints` and `seen` are given.
        palm_bonescaled     only valid joints are known: a hand counts if wrist, middle1 and middle2 are valid.

    Args:
        pred: (N, 21, 3) in mm, or (N, 42, 3) with one valid hand each.
        gt: As `pred`.
        valid: (N, 21) or (N, 42), the annotated joints (of the chosen hand). With 42, the best constant pose is one for
            right and one for left hands.
        all_joints: As `gt`, with the chosen hand's true joints that are not valid, too.
        seen: As `valid`, which joints are seen; the wrist only if it is seen itself.
    """
    hands = split_hands(pred), split_hands(gt), split_hands(valid)
    plain = root_relative_errors(*hands)
    constant = Errors(*map(split_hands, constant_pose_errors(gt, valid)))
    metrics = {
        "EPE_rr_macro_mm": average_errors(*plain),
        "constant_pose_rr_macro_mm": average_errors(*constant),
        "hands": count_rows(plain),
    }
    curves = {}
    if all_joints is not None and seen is not None:
        numbers, curves["hand3d"] = _measures(
            "hand3d", hand3d_errors(hands[0], split_hands(all_joints), split_hands(seen))
        )
        metrics |= numbers
    numbers, curves["palm-centered and bone-scaled"] = _measures("palm_bonescaled", palm_errors(*hands))
    metrics |= numbers
    curves["root-relative (not in the protocol)"] = pck(plain, THRESHOLDS_MM)
    return Scores(metrics, curves, {"all": joint_details(plain)})


def _measures(name: str, errors: Errors) -> tuple[dict[str, float], Curve]:
    """Return what `EvalUtil` gives, under names with this one in them, and the curve."""
    curve, upper = pck(errors, THRESHOLDS_MM), slice(FIRST_OF_UPPER, None)
    return {
        f"EPE_{name}_mean_mm": average_errors(*errors),
        f"EPE_{name}_median_mm": median_error(*errors),
        f"AUC_{name}_0_50_mm": area_under(*curve),
        f"AUC_{name}_21_50_mm": area_under(curve.thresholds_mm[upper], curve.fraction[upper]),
        f"hands_{name}": count_rows(errors),
    }, curve


def hand3d_errors(pred: ArrayLike, all_joints: ArrayLike, seen: ArrayLike) -> Errors:
    """Return hand3d's errors (N, 21): of each joint that is seen; the palm's, in the wrist's place, if an end of it is.

    Args:
        pred: (N, 21, 3).
        all_joints: (N, 21, 3), all true joints.
        seen: (N, 21).
    """
    counted = np.array(seen, dtype=bool)
    counted[:, WRIST] |= counted[:, MIDDLE1]
    return Errors(_palm_distances(pred, all_joints), counted)


def palm_errors(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Errors:
    """Return the same distances (N, 21), of the valid joints of hands with a valid wrist, middle1 and middle2."""
    return Errors(_palm_distances(pred, gt), require_joints(valid, *BONE, WRIST))


def _palm_distances(pred: ArrayLike, gt: ArrayLike) -> NDArray[np.floating]:
    """Return distances (N, 21): the palm's center takes the wrist's place and is the origin, a bone is the unit."""
    pred, gt = _palm_centered(pred), _palm_centered(gt)
    return joint_errors(scale_to_bone(pred, gt, BONE), gt)


def _palm_centered(hands: ArrayLike) -> NDArray[np.floating]:
    """Put the palm's center, the middle between wrist and middle1, in the wrist's place and into the origin."""
    hands = np.array(hands, dtype=np.float64)
    hands[:, WRIST] = (hands[:, WRIST] + hands[:, MIDDLE1]) / 2
    return root_align(hands, ONE_HAND.root_of_joint)


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    """Score two tables; hand3d's row where the ground truth has `all_joints_mm` (N, 42, 3) and `seen` (N, 42)."""
    return score_rhp(
        pred.joints_mm,
        gt.joints_mm,
        gt.valid,
        all_joints=gt.fields.get("all_joints_mm"),
        seen=gt.fields.get("seen"),
    )


def _row(name: str) -> dict[str, str]:
    return {
        "mean": f"EPE_{name}_mean_mm",
        "median": f"EPE_{name}_median_mm",
        "AUC 0-50": f"AUC_{name}_0_50_mm",
        "AUC 21-50": f"AUC_{name}_21_50_mm",
        "hands": f"hands_{name}",
    }


PROTOCOL = Protocol(
    prefix="rhp",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "RHP EPE (InterNet, A2J-Transformer), and hand3d's errors",
        "source": "InterNet, A2J-Transformer; hand3d (the data set's authors)",
        "equals": "facebookresearch/InterHand2.6M, data/RHD/dataset.py, Dataset.evaluate (EPE_rr_macro_mm); "
        "lmb-freiburg/hand3d, eval_full.py and utils/general.py, EvalUtil.get_measures (hand3d; with "
        "validity='annotated' eval3d.py)",
        "alignment": "rr: the wrist is subtracted from each; hand3d and palm_bonescaled: centered on the middle of "
        "wrist and middle1, scaled by the ground truth's bone middle1-middle2",
        "unit": "mm; AUC between 0 and 1",
        "averages": "macro: mean over 21 joints of per-joint means (or medians), right and left hands pooled",
        "wrists": "included, with error 0",
        "valid joints": "rr: annotated, of the chosen hand, with an annotated wrist; hand3d: those that are seen, the "
        "palm if wrist or middle1 is; palm_bonescaled: annotated, of hands with an annotated wrist, "
        "middle1 and middle2",
        "thresholds": "0-50 mm, 20 points, <=; the '21_50' are its points from 21.05 mm on",
        "constant-pose baseline": "rr macro error of the best constant pose of each side, fitted on the same samples' "
        "ground truth",
    },
    title="RHP, mm",
    table={
        "root-relative (EPE)": {
            "mean": "EPE_rr_macro_mm",
            "median": "",
            "AUC 0-50": "",
            "AUC 21-50": "",
            "constant-pose baseline": "constant_pose_rr_macro_mm",
            "hands": "hands",
        },
        "hand3d": _row("hand3d"),
        "as hand3d, palm and bone seen": _row("palm_bonescaled"),
    },
    main="EPE_rr_macro_mm",
    constant="constant_pose_rr_macro_mm",
    ignores_unknown=True,  # records without a valid joint
)
