"""InterHand2.6M: MPJPE of single hands, two hands and all; MRRPE; handedness accuracy."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.evaluation.functional import average_errors, handedness_accuracy, mrrpe
from dfmamba.evaluation.scores import (
    Errors,
    JointTable,
    Protocol,
    Scores,
    constant_pose_errors,
    joint_details,
    pck,
    root_relative_errors,
)
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS

SUBSETS = ("single", "two", "all")
CURVE_THRESHOLDS_MM = np.linspace(0, 50, 100)


def score_interhand26m(pred: ArrayLike, truth: ArrayLike, valid: ArrayLike, hand_type: ArrayLike) -> Scores:
    """Return InterHand2.6M's MPJPE for single hands, two hands and all (InterNet, A2J-Transformer).

    Root-relative, macro: the mean over the 42 joints of each joint's mean over samples; the wrists are included with
    error 0; 'all' pools the samples. micro is the mean over all valid joints, mmpose's `InterHandMetric`. A joint
    without a valid sample in a subset is left out of its macro mean, where InterNet's code fails. The best constant
    pose is fitted on each subset. The curve is no part of the protocol.

    Args:
        pred: (N, 42, 3) in mm in camera space, each hand lifted with the depth of its root.
        truth: (N, 42, 3).
        valid: (N, 42), as annotated; a hand without a valid wrist does not count.
        hand_type: (N, 2), whether a right and a left hand are labelled.
    """
    errors = root_relative_errors(pred, truth, valid)
    two = (np.asarray(hand_type) > 0).all(axis=1)
    metrics: dict[str, float] = {}
    details = {}
    for subset, members in zip(SUBSETS, (~two, two, np.ones_like(two)), strict=True):
        part = Errors(errors.values_mm[members], errors.valid[members])
        constant = constant_pose_errors(np.asarray(truth)[members], part.valid)
        metrics |= {
            f"MPJPE_rr_macro_{subset}_mm": average_errors(*part, average="macro"),
            f"MPJPE_rr_micro_{subset}_mm": average_errors(*part, average="micro"),
            f"constant_pose_macro_{subset}_mm": average_errors(*constant, average="macro"),
            f"samples_{subset}": int(members.sum()),
        }
        details[subset] = joint_details(part)
    return Scores(metrics, {"root-relative (not in the protocol)": pck(errors, CURVE_THRESHOLDS_MM)}, details)


def relative_root_error(pred_roots: ArrayLike, truth: ArrayLike, valid: ArrayLike, hand_type: ArrayLike) -> float:
    """Return MRRPE in mm over the samples with two labelled hands whose wrists are both valid.

    Args:
        pred_roots: (N, 2, 3), right and left wrist in camera space; the right one lifted with its true (or RootNet's)
            depth, the left one with that depth plus the predicted relative depth.
        truth: (N, 42, 3).
        valid: (N, 42).
        hand_type: (N, 2).
    """
    pred_roots, roots = np.asarray(pred_roots), list(TWO_HANDS.roots)
    counted = (np.asarray(hand_type) > 0).all(axis=1) & np.asarray(valid, dtype=bool)[:, roots].all(axis=1)
    right, left = (np.asarray(truth)[:, root] for root in roots)
    return mrrpe(pred_roots[:, RIGHT], pred_roots[:, LEFT], right, left, counted)


def _score_tables(pred: JointTable, truth: JointTable) -> Scores:
    """Score two tables; MRRPE and handedness accuracy where the prediction holds `roots_mm` and `handedness`."""
    hand_type = truth.fields.get("hand_type", np.zeros((0, 2)))
    if len(hand_type) < len(truth.ids):
        raise ValueError(f"{truth.source}: expected a truth, with 'hand_type' for each sample, got a file without")
    scores = score_interhand26m(pred.joints_mm, truth.joints_mm, truth.valid, hand_type)
    if "roots_mm" in pred.fields:
        scores.metrics["MRRPE_mm"] = relative_root_error(pred.fields["roots_mm"], truth.joints_mm, truth.valid,
                                                         hand_type)
    if "handedness" in pred.fields:
        scores.metrics["handedness_accuracy"] = handedness_accuracy(pred.fields["handedness"], hand_type,
                                                                    truth.fields.get("hand_type_valid"))
    return scores


PROTOCOL = Protocol(
    prefix="interhand",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "InterHand2.6M MPJPE, MRRPE, handedness accuracy",
        "source": "InterNet (InterHand2.6M's official code), A2J-Transformer; micro: mmpose",
        "alignment": "root-relative: each hand's own wrist is subtracted, in the prediction the predicted one; MRRPE: "
                     "the vector from right to left wrist, no alignment",
        "unit": "mm; accuracy between 0 and 1",
        "averages": "macro: mean over joints of per-joint means (InterNet, A2J-Transformer); micro: over all valid "
                    "joints",
        "wrists": "included, with error 0",
        "valid joints": "annotated, with an annotated wrist of the same hand",
        "constant pose": "macro error of the best constant root-relative pose, fitted on the truth of the same samples",
    },
    title="root-relative MPJPE, mm",
    table={subset: {"macro": f"MPJPE_rr_macro_{subset}_mm", "micro": f"MPJPE_rr_micro_{subset}_mm",
                    "constant pose": f"constant_pose_macro_{subset}_mm", "samples": f"samples_{subset}"}
           for subset in SUBSETS},
    main="MPJPE_rr_macro_all_mm",
    constant="constant_pose_macro_all_mm",
    ignores_unknown=True,  # records without a valid joint
    notes={"MRRPE, mm": "MRRPE_mm", "handedness accuracy": "handedness_accuracy"},
)
