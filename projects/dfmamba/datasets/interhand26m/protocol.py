"""InterHand2.6M: MPJPE of single hands, two hands and all; MRRPE; handedness accuracy.

All macro numbers, MRRPE and `handedness_accuracy` equal `Dataset.evaluate` in data/InterHand2.6M/dataset.py of
facebookresearch/InterHand2.6M; the macro ones also `evaluate` in dataset.py of ChanglongJiangGit/A2J-Transformer.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.evaluation.functional import average_errors, handedness_accuracy, mrrpe, require_roots
from dfmamba.evaluation.protocol import (
    Errors,
    JointTable,
    Protocol,
    Scores,
    constant_pose_errors,
    count_rows,
    joint_details,
    pck,
    root_relative_errors,
)
from dfmamba.geometry import back_project
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS

SUBSETS = ("single", "two", "all")
CURVE_THRESHOLDS_MM = np.linspace(0, 50, 100)


def score_interhand26m(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike, hand_type: ArrayLike) -> Scores:
    """Return InterHand2.6M's MPJPE for single hands, two hands and all (InterNet, A2J-Transformer).

    Root-relative, macro: the mean over the 42 joints of each joint's mean over samples; the wrists are included with
    error 0; 'all' pools the samples. micro is the mean over all valid joints, mmpose's `InterHandMetric`. A joint
    without a valid sample in a subset is left out of its macro mean, where InterNet's code fails. The best constant
    pose is fitted on each subset. The curve is no part of the protocol. `samples_...` counts samples with a joint that
    counts.

    Args:
        pred: (N, 42, 3) in mm in camera space, each hand lifted with the depth of its root.
        gt: (N, 42, 3).
        valid: (N, 42), as annotated; a hand without a valid wrist does not count.
        hand_type: (N, 2), whether a right and a left hand are labelled.
    """
    errors = root_relative_errors(pred, gt, valid)
    two = (np.asarray(hand_type) > 0).all(axis=1)
    metrics: dict[str, float] = {}
    details = {}
    for subset, members in zip(SUBSETS, (~two, two, np.ones_like(two)), strict=True):
        part = Errors(errors.values_mm[members], errors.valid[members])
        constant = constant_pose_errors(np.asarray(gt)[members], part.valid)
        metrics |= {
            f"MPJPE_rr_macro_{subset}_mm": average_errors(*part, average="macro"),
            f"MPJPE_rr_micro_{subset}_mm": average_errors(*part, average="micro"),
            f"constant_pose_macro_{subset}_mm": average_errors(*constant, average="macro"),
            f"samples_{subset}": count_rows(part),
        }
        details[subset] = joint_details(part)
    return Scores(metrics, {"root-relative (not in the protocol)": pck(errors, CURVE_THRESHOLDS_MM)}, details)


def lift_wrists(
    wrists: ArrayLike, right_depth_mm: float, relative_depth_mm: float, focal: ArrayLike, principal_point: ArrayLike
) -> NDArray[np.floating]:
    """Return the predicted right and left wrist in camera space, (2, 3) in mm, as the official MRRPE lifts them.

    Both start from the right hand's depth, the left one with the predicted relative depth on top; and each has its own
    predicted z added, which a perfect prediction has at 0.

    Args:
        wrists: (2, 3), the right one first: x and y in px of the image, z in mm relative to the depth of the hand.
        right_depth_mm: Depth of the right hand's root, true or RootNet's.
        relative_depth_mm: Predicted depth of the left root minus that of the right one.
        focal: (2,) px.
        principal_point: (2,) px.

    >>> lift_wrists([[0, 0, 3], [0, 0, 10]], 1000, -200, (500, 500), (0, 0))[:, 2]
    array([1003.,  810.])
    """
    wrists = np.asarray(wrists, dtype=np.float64)
    depth = wrists[:, 2] + right_depth_mm + np.array([0, relative_depth_mm])
    return back_project(wrists[:, :2], depth, focal, principal_point)


def relative_root_error(pred_roots: ArrayLike, gt: ArrayLike, valid: ArrayLike, hand_type: ArrayLike) -> float:
    """Return MRRPE in mm over the samples with two labelled hands whose wrists are both valid.

    Args:
        pred_roots: (N, 2, 3), right and left wrist in camera space, see `lift_wrists`.
        gt: (N, 42, 3).
        valid: (N, 42).
        hand_type: (N, 2).
    """
    pred_roots, roots = np.asarray(pred_roots), list(TWO_HANDS.roots)
    counted = (np.asarray(hand_type) > 0).all(axis=1) & np.asarray(valid, dtype=bool)[:, roots].all(axis=1)
    right, left = (np.asarray(gt)[:, root] for root in roots)
    return mrrpe(pred_roots[:, RIGHT], pred_roots[:, LEFT], right, left, counted)


def _handedness(pred: JointTable, gt: JointTable) -> dict[str, float]:
    """Return the accuracy over the annotated samples, and the official one where the ground truth has every record."""
    probabilities, hand_type = pred.fields["handedness"], gt.fields["hand_type"]
    counted = np.asarray(gt.fields.get("hand_type_valid", np.ones(len(gt.ids), dtype=bool))) > 0
    annotated = require_roots(gt.valid, TWO_HANDS.root_of_joint).any(axis=1)
    accuracy = {"handedness_accuracy_annotated": handedness_accuracy(probabilities, hand_type, counted & annotated)}
    if gt.has_every_record:
        accuracy["handedness_accuracy"] = handedness_accuracy(probabilities, hand_type, counted)
    return accuracy


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    """Score two tables; MRRPE and handedness accuracy where the prediction holds `roots_mm` and `handedness`."""
    hand_type = gt.fields.get("hand_type", np.zeros((0, 2)))
    if len(hand_type) < len(gt.ids):
        raise ValueError(f"{gt.source}: expected a ground truth, with 'hand_type' for each sample, got a file without")
    scores = score_interhand26m(pred.joints_mm, gt.joints_mm, gt.valid, hand_type)
    if "roots_mm" in pred.fields:
        scores.metrics["MRRPE_mm"] = relative_root_error(pred.fields["roots_mm"], gt.joints_mm, gt.valid, hand_type)
    if "handedness" in pred.fields:
        scores.metrics.update(_handedness(pred, gt))
    return scores


PROTOCOL = Protocol(
    prefix="interhand",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "InterHand2.6M MPJPE, MRRPE, handedness accuracy",
        "source": "InterNet (InterHand2.6M's official code), A2J-Transformer; micro: mmpose",
        "equals": "facebookresearch/InterHand2.6M, data/InterHand2.6M/dataset.py, Dataset.evaluate (macro, MRRPE, "
        "handedness_accuracy); ChanglongJiangGit/A2J-Transformer, dataset.py, evaluate (macro); "
        "open-mmlab/mmpose, mmpose/evaluation/metrics/hand_metric.py, InterHandMetric (micro)",
        "alignment": "root-relative: each hand's own wrist is subtracted, in the prediction the predicted one; MRRPE: "
        "the vector from right to left wrist, no alignment; both wrists lifted with the right root's "
        "depth, the predicted relative depth (left) and their own predicted z",
        "unit": "mm; accuracy between 0 and 1",
        "averages": "macro: mean over joints of per-joint means (InterNet, A2J-Transformer); micro: over all valid "
        "joints",
        "wrists": "included, with error 0",
        "valid joints": "annotated, with an annotated wrist of the same hand",
        "handedness": "handedness_accuracy: all records with hand_type_valid, also those without a valid joint "
        "(official); handedness_accuracy_annotated: those of them that MPJPE counts",
        "constant-pose baseline": "macro error of the best constant root-relative pose, fitted on the same samples' "
        "ground truth",
    },
    title="root-relative MPJPE, mm",
    table={
        subset: {
            "macro": f"MPJPE_rr_macro_{subset}_mm",
            "micro": f"MPJPE_rr_micro_{subset}_mm",
            "constant-pose baseline": f"constant_pose_macro_{subset}_mm",
            "samples": f"samples_{subset}",
        }
        for subset in SUBSETS
    },
    main="MPJPE_rr_macro_all_mm",
    constant="constant_pose_macro_all_mm",
    ignores_unknown=True,  # records without a valid joint
    notes={
        "MRRPE, mm": "MRRPE_mm",
        "handedness accuracy (official, all records)": "handedness_accuracy",
        "handedness accuracy (annotated hands)": "handedness_accuracy_annotated",
    },
)
