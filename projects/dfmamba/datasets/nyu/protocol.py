"""NYU: absolute mean error and success rates.

Equal to `get_errors` in evaluation/src/util.py and `draw_error`, `draw_map` in evaluation/src/compute_error.py of
xinghaochen/awesome-hand-pose-estimation.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.datasets.nyu.doubts import doubt_about_gt, doubts
from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import average_errors, joint_errors, success_rate
from dfmamba.evaluation.protocol import Curve, Errors, JointTable, Protocol, Scores, joint_details
from dfmamba.skeleton import NYU_14

THRESHOLDS_MM = np.arange(85.0)  # 0, 1, ..., 84
REPORTED_MM = (10, 20, 30, 40)


def score_nyu(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike | None = None) -> Scores:
    """Return NYU's mean error and success rates (awesome-hand-pose-estimation).

    Absolute, no alignment: the mean over frames and 14 joints, and for 0, 1, ..., 84 mm the part of the frames whose
    largest ('max-frame', the usual one) or mean error ('mean-frame') is <= t, or of the joints. A frame without a valid
    joint does not count.

    Args:
        pred: (N, 14, 3) in mm in camera space; y up or down, but as `gt`.
        gt: (N, 14, 3).
        valid: (N, 14); None means all: NYU annotates all.
    """
    pred, gt = np.asarray(pred), np.asarray(gt)
    mask = np.ones(gt.shape[:2], dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    frames = mask.any(axis=1)
    errors = Errors(joint_errors(pred, gt)[frames], mask[frames])
    constant = Errors(_constant_pose_errors(gt[frames], errors.valid), errors.valid)
    counted = np.where(errors.valid, errors.values_mm, 0)
    by_kind = {
        "max-frame": counted.max(axis=1, initial=0),
        "mean-frame": counted.sum(axis=1) / errors.valid.sum(axis=1),
        "joint": errors.values_mm[errors.valid],
    }
    curves = {kind: Curve(THRESHOLDS_MM, success_rate(part, THRESHOLDS_MM)) for kind, part in by_kind.items()}
    metrics = {
        "mean_error_abs_mm": average_errors(*errors, average="micro"),
        "constant_pose_at_true_center_mm": average_errors(*constant, average="micro"),
        "frames": int(frames.sum()),
    }
    for threshold in REPORTED_MM:
        metrics[f"success_max_frame_{threshold}_mm"] = float(curves["max-frame"].fraction[threshold])
    return Scores(metrics, curves, {"all": joint_details(errors)})


def _constant_pose_errors(gt: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the errors (N, 14) of the best constant pose around the mean of each frame's true valid joints."""
    mask = valid[..., None]
    center = np.where(mask, gt, 0).sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True)
    relative = gt - center
    return joint_errors(np.broadcast_to(best_constant_pose(relative, valid), relative.shape), relative)


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    return score_nyu(pred.joints_mm, gt.joints_mm, gt.valid)


PROTOCOL = Protocol(
    prefix="nyu",
    skeleton=NYU_14,
    score=_score_tables,
    description={
        "name": "NYU mean error and success rates",
        "source": "awesome-hand-pose-estimation; A2J and V2V-PoseNet measure the same mean",
        "equals": "xinghaochen/awesome-hand-pose-estimation, evaluation/src/util.py, get_errors and "
        "evaluation/src/compute_error.py, draw_error (mean), draw_map (success)",
        "alignment": "none, absolute camera space",
        "unit": "mm; success between 0 and 1",
        "averages": "mean over all frames and 14 joints; success: fraction of frames with largest error <= threshold",
        "valid joints": "all 14 of all frames",
        "thresholds": "0, 1, ..., 84 mm, <=",
        "constant-pose baseline": "mean error of the best constant pose around the mean of the frame's true joints, "
        "fitted on the ground truth of the same samples",
    },
    title="NYU, absolute, mm",
    table={
        "14 joints": {
            "mean error": "mean_error_abs_mm",
            "constant-pose baseline": "constant_pose_at_true_center_mm",
            **{f"all within {threshold}": f"success_max_frame_{threshold}_mm" for threshold in REPORTED_MM},
            "frames": "frames",
        }
    },
    main="mean_error_abs_mm",
    constant="constant_pose_at_true_center_mm",
    doubts=doubts,
    doubt_about_gt=doubt_about_gt,
)
