"""A protocol for data sets that have none of their own: root-relative MPJPE and the AUC of correct keypoints."""

from functools import partial

import numpy as np

from dfmamba.evaluation.functional import area_under, average_errors
from dfmamba.evaluation.protocol import (
    JointTable,
    Protocol,
    Scores,
    constant_pose_errors,
    count_rows,
    joint_details,
    pck,
    root_relative_errors,
)
from dfmamba.skeleton import Skeleton

THRESHOLDS_MM = np.linspace(0, 50, 100)


def plain_protocol(prefix: str, title: str, skeleton: Skeleton) -> Protocol:
    """Return the protocol under a name.

    Its numbers: `MPJPE_rr_macro_mm`, the mean over joints of per-joint means, wrists included; `MPJPE_rr_micro_mm`, the
    mean over all valid joints; `AUC_rr_0_50_mm` of the curve of correct keypoints at 100 thresholds; the macro error of
    the best constant pose; and the number of samples.

    Args:
        prefix: Of the names of its metrics.
        title: Of the data set.
        skeleton: 21 or 42 joints, each hand with its wrist.
    """
    return Protocol(
        prefix=prefix,
        skeleton=skeleton,
        score=partial(_score, prefix),
        description={
            "name": f"{title}, root-relative",
            "equals": "nothing published",
            "alignment": "each hand's own wrist is subtracted",
            "unit": "mm; AUC between 0 and 1",
            "averages": "macro: mean over joints of per-joint means; micro: over all valid joints",
            "valid joints": "annotated, with an annotated wrist of the same hand",
            "thresholds": "0-50 mm, 100 points, <=",
            "constant-pose baseline": "macro error of the best constant pose, fitted on the "
            "ground truth of the same samples",
        },
        title=f"{title}, root-relative, mm",
        table={
            "all": {
                "macro": "MPJPE_rr_macro_mm",
                "micro": "MPJPE_rr_micro_mm",
                "AUC 0-50": "AUC_rr_0_50_mm",
                "constant-pose baseline": "constant_pose_rr_macro_mm",
                "samples": "samples",
            }
        },
        main="MPJPE_rr_macro_mm",
        constant="constant_pose_rr_macro_mm",
    )


def _score(label: str, pred: JointTable, gt: JointTable) -> Scores:
    errors = root_relative_errors(pred.joints_mm, gt.joints_mm, gt.valid)
    curve = pck(errors, THRESHOLDS_MM)
    metrics = {
        "MPJPE_rr_macro_mm": average_errors(*errors),
        "MPJPE_rr_micro_mm": average_errors(*errors, average="micro"),
        "AUC_rr_0_50_mm": area_under(*curve),
        "constant_pose_rr_macro_mm": average_errors(*constant_pose_errors(gt.joints_mm, gt.valid)),
        "samples": count_rows(errors),
    }
    return Scores(metrics, {label: curve}, {"all": joint_details(errors)})
