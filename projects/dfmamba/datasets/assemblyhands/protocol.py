"""AssemblyHands (ego): the official MPJPE, and S2DHand's errors and AUC with and without the bone-length scale.

`MPJPE_rr_macro_mm` of samples that are hands in camera images equals `Dataset.evaluate` in
src/dataset/AssemblyHands-Ego/dataset.py of facebookresearch/assemblyhands-toolkit. The bone-scaled numbers equal
`validate` in adapt_detnet_dual.py (`EvalUtil.get_measures(20, 50, 15)`) of ut-vision/S2DHand with `--root_idx 0`.

Files by frame, as the HANDS challenge has them, give other numbers: a hand counts once, whatever the number of cameras
that see it, and its prediction may be merged from theirs. The names of these end with `_per_frame`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.evaluation.functional import area_under, average_errors, split_hands
from dfmamba.evaluation.protocol import (
    Errors,
    JointTable,
    Protocol,
    Scores,
    bone_scaled_errors,
    constant_pose_errors,
    count_rows,
    joint_details,
    pck,
    root_relative_errors,
)
from dfmamba.geometry import move_rigidly
from dfmamba.skeleton import TWO_HANDS

THRESHOLDS_MM = np.linspace(20, 50, 15)


def score_assemblyhands(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Scores:
    """Return AssemblyHands' MPJPE (official toolkit) and S2DHand's errors and AUC over 20-50 mm at 15 points.

    MPJPE: root-relative, macro over the 42 joints: right and left joints have each their own mean, wrists included.
    S2DHand pools right and left hands in 21 joints and scales each prediction by the ground truth's bone wrist-middle1;
    its numbers are given with that scale ('bonescaled') and without.

    Args:
        pred: (N, 42, 3) in mm in camera or world space: turning both the same way changes nothing. Or (N, 21, 3), hands
            whose side is not known: then there is no mean over 42 joints.
        gt: As `pred`.
        valid: (N, 42) or (N, 21), the annotated joints of the sample's hands. A hand without a valid wrist does not
            count; the toolkit would measure from the mark [1, 1, 1] in its place.
    """
    errors = root_relative_errors(pred, gt, valid)
    plain = Errors(*map(split_hands, errors))
    scaled = bone_scaled_errors(split_hands(pred), split_hands(gt), split_hands(valid))
    curves = {
        "root-relative": pck(plain, THRESHOLDS_MM),
        "root-relative, bone-scaled (S2DHand)": pck(scaled, THRESHOLDS_MM),
    }
    plain_curve, scaled_curve = curves.values()
    official = {"MPJPE_rr_macro_mm": average_errors(*errors)} if errors.valid.shape[1] == TWO_HANDS.num_joints else {}
    metrics = official | {
        "constant_pose_rr_macro_mm": average_errors(*constant_pose_errors(gt, valid)),
        "MPJPE_rr_pooled_hands_mm": average_errors(*plain),
        "AUC_rr_20_50_mm": area_under(*plain_curve),
        "hands": count_rows(plain),
        "MPJPE_rr_bonescaled_pooled_hands_mm": average_errors(*scaled),
        "AUC_rr_bonescaled_20_50_mm": area_under(*scaled_curve),
        "hands_bonescaled": count_rows(scaled),
    }
    return Scores(metrics, curves, {"all": joint_details(errors)})


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    """Score two tables; in the camera's frame where the ground truth has `extrinsic` (N, 3, 4), else in the files'.

    The constant-pose baseline is another one in the world's frame; all else is the same.
    """
    joints, true_joints = pred.joints_mm, gt.joints_mm
    if "extrinsic" in gt.fields:
        rotation, translation = np.split(gt.fields["extrinsic"], [3], axis=2)
        joints, true_joints = (
            move_rigidly(part, rotation, translation.transpose(0, 2, 1)) for part in (joints, true_joints)
        )
    return score_assemblyhands(joints, true_joints, gt.valid)


def _score_frames(pred: JointTable, gt: JointTable) -> Scores:
    """Score tables of frames, under names of their own."""
    scores = _score_tables(pred, gt)
    return scores._replace(metrics={_of_frames(name): value for name, value in scores.metrics.items()})


def _of_frames(name: str) -> str:
    return f"{name}_per_frame"


IMAGES = Protocol(
    prefix="assemblyhands",
    skeleton=TWO_HANDS,
    score=_score_tables,
    description={
        "name": "AssemblyHands MPJPE (official toolkit), and S2DHand's errors",
        "source": "assemblyhands-toolkit; S2DHand",
        "equals": "facebookresearch/assemblyhands-toolkit, src/dataset/AssemblyHands-Ego/dataset.py, Dataset.evaluate "
        "(MPJPE_rr_macro_mm); ut-vision/S2DHand, adapt_detnet_dual.py, validate with --root_idx 0 "
        "(bonescaled)",
        "samples": "hands in camera images: a hand that four cameras see counts four times",
        "alignment": "rr: each hand's own wrist is subtracted; bonescaled: before, the prediction is scaled by the "
        "ground truth's bone wrist-middle1",
        "unit": "mm; AUC between 0 and 1",
        "averages": "macro: mean over 42 joints of per-joint means; pooled_hands and AUC: right and left in 21 joints",
        "wrists": "included, with error 0",
        "valid joints": "annotated, with an annotated wrist of the same hand; bonescaled: and middle1",
        "thresholds": "20-50 mm, 15 points, <=",
        "constant-pose baseline": "rr macro error of the best constant pose of each side, fitted on the same samples' "
        "ground truth",
    },
    title="AssemblyHands, root-relative, mm",
    table={
        "official, per camera image (42 joints)": {
            "MPJPE": "MPJPE_rr_macro_mm",
            "AUC 20-50": "",
            "constant-pose baseline": "constant_pose_rr_macro_mm",
            "hands": "hands",
        },
        "hands pooled (21 joints)": {
            "MPJPE": "MPJPE_rr_pooled_hands_mm",
            "AUC 20-50": "AUC_rr_20_50_mm",
            "hands": "hands",
        },
        "and bone-scaled (S2DHand)": {
            "MPJPE": "MPJPE_rr_bonescaled_pooled_hands_mm",
            "AUC 20-50": "AUC_rr_bonescaled_20_50_mm",
            "hands": "hands_bonescaled",
        },
    },
    main="MPJPE_rr_macro_mm",
    constant="constant_pose_rr_macro_mm",
)
FRAMES = replace(
    IMAGES,
    score=_score_frames,
    description={
        **IMAGES.description,
        "name": "AssemblyHands MPJPE of frames, cameras merged (not the toolkit's), and S2DHand's errors",
        "equals": "nothing published: the arithmetic of the toolkit and of S2DHand, on frames",
        "samples": "hands in frames: a hand counts once, whatever the number of cameras that see it; its prediction is "
        "the file's, which may be merged from theirs",
    },
    title="AssemblyHands by frame, root-relative, mm",
    table={
        label.replace("official, per camera image", "per frame, cameras merged"): {
            column: _of_frames(name) if name else "" for column, name in row.items()
        }
        for label, row in IMAGES.table.items()
    },
    main=_of_frames(IMAGES.main),
    constant=_of_frames(IMAGES.constant),
)
PROTOCOL = replace(IMAGES, of_frames=FRAMES)
