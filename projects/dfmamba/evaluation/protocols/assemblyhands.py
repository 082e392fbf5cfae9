"""AssemblyHands (ego): the official MPJPE, and S2DHand's errors and AUC with and without the bone-length scale."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.evaluation.functional import area_under, average_errors, scale_to_bone, split_hands
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
from dfmamba.skeleton import HAND_JOINTS, TWO_HANDS, WRIST

THRESHOLDS_MM = np.linspace(20, 50, 15)
BONE = (WRIST, HAND_JOINTS.index("middle1"))  # S2DHand's unit of length


def score_assemblyhands(pred: ArrayLike, truth: ArrayLike, valid: ArrayLike) -> Scores:
    """Return AssemblyHands' MPJPE (official toolkit) and S2DHand's errors and AUC over 20-50 mm at 15 points.

    MPJPE: root-relative, macro over the 42 joints: right and left joints have each their own mean, wrists included.
    S2DHand pools right and left hands in 21 joints and scales each prediction by the truth's bone wrist-middle1; its
    numbers are given with that scale ('bonescaled') and without.

    Args:
        pred: (N, 42, 3) in mm in camera or world space: turning both the same way changes nothing.
        truth: (N, 42, 3).
        valid: (N, 42), the annotated joints of the sample's hands. A hand without a valid wrist does not count; the
            toolkit would measure from the mark [1, 1, 1] in its place.
    """
    errors = root_relative_errors(pred, truth, valid)
    plain = Errors(*map(split_hands, errors))
    scaled = bone_scaled_errors(split_hands(pred), split_hands(truth), split_hands(valid))
    curves = {"root-relative": pck(plain, THRESHOLDS_MM),
              "root-relative, bone-scaled (S2DHand)": pck(scaled, THRESHOLDS_MM)}
    plain_curve, scaled_curve = curves.values()
    metrics = {
        "MPJPE_rr_macro_mm": average_errors(*errors),
        "constant_pose_rr_macro_mm": average_errors(*constant_pose_errors(truth, valid)),
        "MPJPE_rr_pooled_hands_mm": average_errors(*plain),
        "AUC_rr_20_50_mm": area_under(*plain_curve),
        "hands": count_rows(plain),
        "MPJPE_rr_bonescaled_pooled_hands_mm": average_errors(*scaled),
        "AUC_rr_bonescaled_20_50_mm": area_under(*scaled_curve),
        "hands_bonescaled": count_rows(scaled),
    }
    return Scores(metrics, curves, {"all": joint_details(errors)})


def bone_scaled_errors(pred: ArrayLike, truth: ArrayLike, valid: ArrayLike) -> Errors:
    """Return root-relative errors (hands, 21) after S2DHand's scale; hands without a valid middle1 do not count."""
    scaled = scale_to_bone(pred, truth, BONE)
    return root_relative_errors(scaled, truth, require_joints(valid, *BONE))


def _score_tables(pred: JointTable, truth: JointTable) -> Scores:
    return score_assemblyhands(pred.joints_mm, truth.joints_mm, truth.valid)


PROTOCOL = Protocol(
    prefix="assemblyhands",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "AssemblyHands MPJPE (official toolkit), and S2DHand's errors",
        "source": "assemblyhands-toolkit; S2DHand",
        "alignment": "rr: each hand's own wrist is subtracted; bonescaled: before, the prediction is scaled by the "
                     "truth's bone wrist-middle1",
        "unit": "mm; AUC between 0 and 1",
        "averages": "macro: mean over 42 joints of per-joint means; pooled_hands and AUC: right and left in 21 joints",
        "wrists": "included, with error 0",
        "valid joints": "annotated, with an annotated wrist of the same hand; bonescaled: and middle1",
        "thresholds": "20-50 mm, 15 points, <=",
        "constant pose": "rr macro error of the best constant pose of each side, fitted on the truth of the same "
                         "samples",
    },
    title="AssemblyHands, root-relative, mm",
    table={
        "official (42 joints)": {"MPJPE": "MPJPE_rr_macro_mm", "AUC 20-50": "",
                                 "constant pose": "constant_pose_rr_macro_mm", "hands": "hands"},
        "hands pooled (21 joints)": {"MPJPE": "MPJPE_rr_pooled_hands_mm", "AUC 20-50": "AUC_rr_20_50_mm",
                                     "hands": "hands"},
        "and bone-scaled (S2DHand)": {"MPJPE": "MPJPE_rr_bonescaled_pooled_hands_mm",
                                      "AUC 20-50": "AUC_rr_bonescaled_20_50_mm", "hands": "hands_bonescaled"},
    },
    main="MPJPE_rr_macro_mm",
    constant="constant_pose_rr_macro_mm",
)
