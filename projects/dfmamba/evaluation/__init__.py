"""Errors of 3D hand joints: pure functions over arrays, published protocols, result files.

They need numpy alone. The metrics, which need mmengine and mmpose, are loaded at their first use.
"""

from typing import Any

from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import (
    average_errors,
    handedness_accuracy,
    joint_errors,
    median_error,
    mpjpe,
    mrrpe,
    pck_auc,
    pck_curve,
    per_joint_mean,
    procrustes_align,
    root_align,
    success_rate,
)
from dfmamba.evaluation.protocols import (
    PROTOCOLS,
    score_assemblyhands,
    score_dexycb,
    score_interhand26m,
    score_nyu,
    score_rhp,
)
from dfmamba.evaluation.report import format_metrics, format_scores

METRICS = ("AssemblyHandsMPJPE", "DexYCBMPJPE", "InterHandMPJPE", "NYUMeanError", "RHPEPE")
__all__ = [
    "PROTOCOLS",
    "average_errors",
    "best_constant_pose",
    "format_metrics",
    "format_scores",
    "handedness_accuracy",
    "joint_errors",
    "median_error",
    "mpjpe",
    "mrrpe",
    "pck_auc",
    "pck_curve",
    "per_joint_mean",
    "procrustes_align",
    "root_align",
    "score_assemblyhands",
    "score_dexycb",
    "score_interhand26m",
    "score_nyu",
    "score_rhp",
    "success_rate",
]


def __getattr__(name: str) -> Any:
    """Load a metric."""
    if name in METRICS:
        from dfmamba.evaluation import metrics

        return getattr(metrics, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
