"""Scores of one's own data: in mm where the place in space is known, in depth where that is, in px everywhere.

The errors in px are those of open-mmlab/mmpose, mmpose/evaluation/metrics/keypoint_2d_metrics.py, EPE and PCKAccuracy.
The errors in mm are those of `dfmamba.evaluation.plain_protocol`, which nobody has published.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.evaluation.functional import average_errors, require_roots, root_align
from dfmamba.evaluation.plain_protocol import plain_protocol
from dfmamba.evaluation.protocol import Errors, JointTable, Scores, count_rows
from dfmamba.skeleton import NUM_HAND_JOINTS, TWO_HANDS

PCK_SHARE = 0.2  # of the box's longer side
PLAIN = plain_protocol("own_data", "Own data", TWO_HANDS)


def score_own_data(
    pred: ArrayLike,
    gt: ArrayLike,
    valid: ArrayLike,
    *,
    space_known: ArrayLike | None = None,
    depth_known: ArrayLike | None = None,
    pred_px: ArrayLike | None = None,
    gt_px: ArrayLike | None = None,
    box_px: ArrayLike | None = None,
) -> Scores:
    """Return the errors in mm, in depth, and in px; each of what the annotations know, NaN where that is nothing.

    Root-relative MPJPE and AUC count hands with `space_known`. `depth_error_rr_macro_mm` is the mean over joints of the
    mean absolute error of the depth behind the wrist, of hands with `depth_known`. `EPE_micro_px` is the mean distance
    in the image over all valid joints, `PCK_macro_02_box` the mean over joints of the part of them that is nearer than
    a fifth of the box's longer side.

    Args:
        pred: (N, 42, 3) in mm, camera space.
        gt: As `pred`; where the place in space is not known, only the depths count.
        valid: (N, 42), the annotated joints.
        space_known: (N, 2), of [right, left] hand; all by default.
        depth_known: (N, 2), in the same way.
        pred_px: (N, 42, 2) in the image; without it, there are no errors in px.
        gt_px: (N, 42, 2).
        box_px: (N,), longer side of the sample's box.
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    mask = np.asarray(valid, dtype=bool)
    ids = range(len(gt))
    in_space = mask & _of_joints(space_known, mask)
    scores = PLAIN.score(JointTable(ids, pred, mask), JointTable(ids, gt, in_space))
    depth = _depth_errors(pred, gt, mask & _of_joints(depth_known, mask))
    metrics = scores.metrics | {
        "depth_error_rr_macro_mm": average_errors(*depth),
        "samples_depth": count_rows(depth),
        "EPE_micro_px": np.nan,
        "PCK_macro_02_box": np.nan,
        "samples_px": 0,
    }
    if pred_px is not None and gt_px is not None and box_px is not None:
        distances = Errors(np.linalg.norm(np.asarray(pred_px) - np.asarray(gt_px), axis=-1), mask)
        near = distances.values_mm < PCK_SHARE * np.asarray(box_px, dtype=np.float64)[:, None]
        metrics["EPE_micro_px"] = average_errors(*distances, average="micro")
        metrics["PCK_macro_02_box"] = average_errors(near, mask)
        metrics["samples_px"] = count_rows(distances)
    return Scores(metrics, scores.curves, scores.details)


def _of_joints(known: ArrayLike | None, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is known of hands (N, 2) for each joint (N, 42); all by default."""
    if known is None:
        return np.ones_like(valid)
    return np.repeat(np.nan_to_num(np.asarray(known, dtype=np.float64)) > 0, NUM_HAND_JOINTS, axis=1)


def _depth_errors(pred: NDArray[np.float64], gt: NDArray[np.float64], known: NDArray[np.bool_]) -> Errors:
    """Return the absolute errors of the depths relative to the wrist, of joints with a valid wrist."""
    roots = TWO_HANDS.root_of_joint
    off = root_align(pred, roots)[..., 2] - root_align(gt, roots)[..., 2]
    return Errors(np.abs(off), require_roots(known, roots))


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    return score_own_data(
        pred.joints_mm,
        gt.joints_mm,
        gt.valid,
        space_known=gt.fields.get("space_known"),
        depth_known=gt.fields.get("depth_known"),
        pred_px=pred.fields.get("points_px"),
        gt_px=gt.fields.get("points_px"),
        box_px=gt.fields.get("box_px"),
    )


PROTOCOL = replace(
    PLAIN,
    score=_score_tables,
    description={
        **PLAIN.description,
        "source": "in px mmpose; in mm ours",
        "equals": "open-mmlab/mmpose, mmpose/evaluation/metrics/keypoint_2d_metrics.py, EPE (EPE_micro_px) and "
        "PCKAccuracy (PCK_macro_02_box, norm_item='bbox', thr=0.2); nothing published in mm",
        "alignment": "rr: each hand's own wrist is subtracted; px: none",
        "unit": "mm or px, as the names say; AUC and PCK between 0 and 1",
        "valid joints": "annotated; rr: of hands whose place in space is known, with an annotated wrist; depth: of "
        "hands whose depths are known, in the same way",
    },
    table={
        **PLAIN.table,
        "depth behind the wrist": {"macro": "depth_error_rr_macro_mm", "samples": "samples_depth"},
        "in the image": {"error, px": "EPE_micro_px", "PCK 0.2": "PCK_macro_02_box", "samples": "samples_px"},
    },
)
