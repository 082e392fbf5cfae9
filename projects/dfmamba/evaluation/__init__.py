"""Errors of 3D hand joints: pure functions over arrays, published protocols, result files.

They need numpy alone. What needs more is loaded at its first use: the metrics (mmengine and mmpose), confidence
intervals (scipy).
"""

from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from dfmamba.datasets.spec import data_sets, public_names
from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.curves import draw_curves
from dfmamba.evaluation.detnet_protocol import score_detnet
from dfmamba.evaluation.functional import (
    area_under,
    average_errors,
    handedness_accuracy,
    joint_errors,
    median_error,
    mpjpe,
    mrrpe,
    pck_auc,
    pck_curve,
    pck_curve_of_errors,
    per_joint_mean,
    procrustes_align,
    require_roots,
    root_align,
    scale_to_bone,
    split_hands,
    success_rate,
)
from dfmamba.evaluation.occlusion import hidden_joints, hidden_share
from dfmamba.evaluation.protocol import Curve, JointTable, Protocol, Scores
from dfmamba.evaluation.report import format_metrics, format_scores
from dfmamba.evaluation.result_files import read_result_file, write_result_file
from dfmamba.evaluation.score_tables import protocol_of, score_tables
from dfmamba.evaluation.units import doubt_about_mm

LATE = {  # name to the module that is loaded at its first use
    "DetNetMPJPE": "detnet_metric",
    "HandBoxAP": "hand_box_metric",
    "HandMetric": "metrics",
    **dict.fromkeys(("bootstrap", "interval_over_seeds", "sum_by_sequence"), "confidence"),
}
__all__ = [
    "Curve",
    "JointTable",
    "Protocol",
    "Scores",
    "area_under",
    "average_errors",
    "best_constant_pose",
    "doubt_about_mm",
    "draw_curves",
    "format_metrics",
    "format_scores",
    "handedness_accuracy",
    "hidden_joints",
    "hidden_share",
    "joint_errors",
    "median_error",
    "mpjpe",
    "mrrpe",
    "pck_auc",
    "pck_curve",
    "pck_curve_of_errors",
    "per_joint_mean",
    "procrustes_align",
    "protocol_of",
    "read_result_file",
    "require_roots",
    "root_align",
    "scale_to_bone",
    "score_detnet",
    "score_tables",
    "split_hands",
    "success_rate",
    "write_result_file",
]
__all__ += ["PROTOCOLS", *LATE, *public_names("evaluation")]


def __getattr__(name: str) -> Any:
    """Load a protocol, a metric, or what needs scipy."""
    if name == "PROTOCOLS":  # by data set
        return {spec.name: spec.protocol for spec in data_sets().values()}
    if name in LATE:
        return getattr(import_module(f"{__name__}.{LATE[name]}"), name)
    if place := public_names("evaluation").get(name):
        return resolve_name(place)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
