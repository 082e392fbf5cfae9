"""Errors of 3D hand joints. The functions need numpy alone; the metrics are there where mmpose is."""

from importlib.util import find_spec

from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import (
    average_errors,
    joint_errors,
    mpjpe,
    mrrpe,
    pck_auc,
    pck_curve,
    per_joint_mean,
    procrustes_align,
    root_align,
)
from dfmamba.evaluation.report import format_interhand_table

__all__ = [
    "average_errors",
    "best_constant_pose",
    "format_interhand_table",
    "joint_errors",
    "mpjpe",
    "mrrpe",
    "pck_auc",
    "pck_curve",
    "per_joint_mean",
    "procrustes_align",
    "root_align",
]

if find_spec("mmpose"):
    from dfmamba.evaluation.metrics import InterHandMPJPE

    __all__ += ["InterHandMPJPE"]
