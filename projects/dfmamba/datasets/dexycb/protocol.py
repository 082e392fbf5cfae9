"""DexYCB: absolute, root-relative and Procrustes-aligned MPJPE with AUC.

Equal to `HPEEvaluator.evaluate` in dex_ycb_toolkit/hpe_eval.py of NVlabs/dex-ycb-toolkit, which uses `align_w_scale` of
eval.py and `EvalUtil.get_measures` of utils/eval_util.py of lmb-freiburg/freihand.
"""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.evaluation.functional import area_under, average_errors, joint_errors, procrustes_align
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
from dfmamba.evaluation.units import doubt_about_absolute_places
from dfmamba.skeleton import ONE_HAND

THRESHOLDS_MM = np.linspace(0, 50, 100)
EPSILON = 1e-8  # the toolkit adds it to the norm of the centered prediction
ALIGNMENTS = {"abs": "absolute", "rr": "root-relative", "PA": "Procrustes-aligned"}
MPJPE_NAMES = {"abs": "MPJPE_abs_macro_mm", "rr": "MPJPE_rr_macro_mm", "PA": "PA_MPJPE_macro_mm"}


def score_dexycb(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike | None = None, *, absolute: bool = True) -> Scores:
    """Return DexYCB's three MPJPEs with their AUC over 0-50 mm at 100 points (dex-ycb-toolkit).

    Absolute; root-relative (each one's wrist subtracted); Procrustes-aligned, mirror images allowed. All three are
    macro averages over the 21 joints, the wrist included. Images without a hand are no samples.

    Args:
        pred: (N, 21, 3) in mm in camera space; right and left hands alike, not flipped.
        gt: (N, 21, 3).
        valid: (N, 21); None means all, as in the toolkit.
        absolute: Whether `pred` has absolute positions; if not, the absolute numbers are left out.
    """
    distances = joint_errors(pred, gt)
    mask = np.ones(distances.shape, dtype=bool) if valid is None else np.array(valid, dtype=bool)
    errors = {"abs": Errors(distances, mask)} if absolute else {}
    errors |= {"rr": root_relative_errors(pred, gt, mask), "PA": procrustes_errors(pred, gt, mask)}
    curves = {ALIGNMENTS[kind]: pck(part, THRESHOLDS_MM) for kind, part in errors.items()}
    metrics = {MPJPE_NAMES[kind]: average_errors(*part) for kind, part in errors.items()}
    metrics |= {f"AUC_{kind}_0_50_mm": area_under(*curves[ALIGNMENTS[kind]]) for kind in errors}
    metrics |= {
        "constant_pose_rr_macro_mm": average_errors(*constant_pose_errors(gt, mask)),
        "hands": count_rows(errors["PA"]),
    }
    return Scores(metrics, curves, {"all": joint_details(errors["rr"])})


def procrustes_errors(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Errors:
    """Return the errors (N, 21) after the best similarity transform, mirror images allowed; NaN stays NaN."""
    finite = np.isfinite(np.asarray(pred)).all(axis=(1, 2))[:, None, None]  # the decomposition refuses the others
    aligned = procrustes_align(np.where(finite, pred, 0), gt, valid, reflection=True, epsilon=EPSILON)
    return Errors(joint_errors(np.where(finite, aligned, np.nan), gt), np.array(valid, dtype=bool))


def _doubts(pred: JointTable, gt: JointTable) -> dict[str, str | None]:
    """Say why predictions that count as absolute look relative to the wrist."""
    if "root_relative" in pred.fields:
        return {}
    return {"may not be absolute": doubt_about_absolute_places(pred.joints_mm, gt.joints_mm)}


def _score_tables(pred: JointTable, gt: JointTable) -> Scores:
    """Score two tables; `root_relative` among the prediction's fields says that it has no absolute positions."""
    return score_dexycb(pred.joints_mm, gt.joints_mm, gt.valid, absolute="root_relative" not in pred.fields)


PROTOCOL = Protocol(
    prefix="dexycb",
    skeleton=ONE_HAND,
    score=_score_tables,
    description={
        "name": "DexYCB MPJPE and AUC (dex-ycb-toolkit)",
        "source": "dex-ycb-toolkit, hpe_eval with FreiHAND's EvalUtil",
        "equals": "NVlabs/dex-ycb-toolkit, dex_ycb_toolkit/hpe_eval.py, HPEEvaluator.evaluate; lmb-freiburg/freihand, "
        "eval.py, align_w_scale and utils/eval_util.py, EvalUtil.get_measures",
        "alignment": "abs: none; rr: the wrist is subtracted from each; PA: best similarity, mirror images allowed",
        "unit": "mm; AUC between 0 and 1",
        "averages": "macro: mean over 21 joints of per-joint means",
        "wrists": "included, in rr with error 0",
        "valid joints": "all 21 of every image with a hand",
        "thresholds": "0-50 mm, 100 points, <=",
        "constant-pose baseline": "rr macro error of the best constant pose, fitted on the "
        "ground truth of the same samples",
    },
    title="DexYCB, mm",
    table={
        label: {
            "MPJPE": MPJPE_NAMES[kind],
            "AUC 0-50": f"AUC_{kind}_0_50_mm",
            "constant-pose baseline": "constant_pose_rr_macro_mm" if kind == "rr" else "",
            "hands": "hands",
        }
        for kind, label in ALIGNMENTS.items()
    },
    main="MPJPE_rr_macro_mm",
    constant="constant_pose_rr_macro_mm",
    ignores_unknown=True,  # images without a hand
    doubts=_doubts,
)
