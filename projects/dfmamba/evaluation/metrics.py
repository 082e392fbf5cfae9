"""Thin mmengine metrics around `dfmamba.evaluation.functional`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import average_errors, joint_errors, per_joint_mean, root_align
from dfmamba.evaluation.report import SUBSETS
from dfmamba.geometry import back_project
from dfmamba.skeleton import FINGERS, TWO_HANDS

PROTOCOL = {
    "name": "InterHand2.6M MPJPE",
    "alignment": "root-relative: each hand's own wrist is subtracted, in the prediction the predicted one",
    "unit": "mm",
    "averages": "macro: mean over joints of per-joint means (InterNet, A2J-Transformer); micro: over all valid joints",
    "wrists": "included, with error 0",
    "valid joints": "annotated, with an annotated wrist of the same hand",
    "constant pose": "macro error of the best constant root-relative pose, fitted on the truth of the same samples",
}


@METRICS.register_module()
class InterHandMPJPE(BaseMetric):
    """Root-relative mean per-joint position error of two hands, as InterNet and A2J-Transformer measure it.

    A predicted joint (image px, root-relative mm) is lifted with `abs_depth` of its hand plus its z; then each hand's
    own predicted wrist is subtracted, and the result compared with the truth relative to its wrist. Valid joints of the
    ground truth decide what counts; the predicted hand type plays no part.

    Reads from each data sample: `pred_instances.keypoints` (1, 42, 3), x and y in px of the original image, z in mm
    relative to the wrist of the joint's hand; `gt_instances.keypoints_cam` (1, 42, 3) mm and `keypoints_visible`
    (1, 42); and the meta keys `abs_depth` (2,), `focal`, `principal_pt`, `hand_type` (1, 2) and `id`.

    Returns for each subset (single: one hand is labelled; two: both; all):
        MPJPE_rr_macro_{subset}_mm: The published number: mean over joints of per-joint means, wrists included.
        MPJPE_rr_micro_{subset}_mm: Mean over all valid joints, as mmpose's `InterHandMetric`.
        constant_pose_macro_{subset}_mm: The macro error of the best constant pose, a yardstick.
        samples_{subset}: Number of samples.
    A subset without valid joints gives NaN, and one warning.

    Args:
        result_file: Write per-joint and per-finger errors, counts, protocol and data source to this JSON file.
        save_predictions: Write each sample's root-relative joints into the file too (about 1.5 kB a sample).
        collect_device: 'cpu' or 'gpu', where several processes exchange their results.
        collect_dir: Folder for that exchange on the CPU.
        prefix: Prefix of the names of the metrics.
    """

    default_prefix = "interhand"

    def __init__(self, result_file: str | None = None, save_predictions: bool = False, collect_device: str = "cpu",
                 collect_dir: str | None = None, prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if save_predictions and not result_file:
            raise ValueError("save_predictions: expected result_file to say where to, got none")
        self.result_file = result_file
        self.save_predictions = save_predictions

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the errors and the root-relative truth of each sample."""
        for sample in data_samples:
            shape = (TWO_HANDS.num_joints, 3)
            pred = _array(sample["pred_instances"], "keypoints", shape)
            truth = _array(sample["gt_instances"], "keypoints_cam", shape)
            valid = _array(sample["gt_instances"], "keypoints_visible", shape[:1]) > 0
            root_depth = np.repeat(_array(sample, "abs_depth", (2,)), TWO_HANDS.num_joints // 2)
            pred_cam = back_project(pred[:, :2], root_depth + pred[:, 2], _array(sample, "focal", (2,)),
                                    _array(sample, "principal_pt", (2,)))
            pred_rr, truth_rr = (root_align(joints, TWO_HANDS.root_of_joint) for joints in (pred_cam, truth))
            result = {
                "errors": joint_errors(pred_rr, truth_rr).astype(np.float32),
                "truth": truth_rr.astype(np.float32),
                "valid": valid,
                "two": bool(_array(sample, "hand_type", (2,)).all()),
            }
            if self.save_predictions:
                result |= {"id": sample.get("id"), "pred": pred_rr.astype(np.float32)}
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average over all samples; write the result file."""
        joints = (len(results), TWO_HANDS.num_joints)
        errors = np.array([result["errors"] for result in results], dtype=np.float32).reshape(joints)
        truth = np.array([result["truth"] for result in results], dtype=np.float32).reshape(*joints, 3)
        valid = np.array([result["valid"] for result in results], dtype=bool).reshape(joints)
        two = np.array([result["two"] for result in results], dtype=bool)
        self._warn_not_finite(errors, valid)
        metrics: dict[str, float] = {}
        details = {}
        for subset, members in zip(SUBSETS, (~two, two, np.ones_like(two)), strict=True):
            self._warn_missing(subset, valid[members])
            metrics |= _subset_metrics(subset, errors[members], truth[members], valid[members])
            details[subset] = _subset_details(errors[members], valid[members])
        if self.result_file:
            self._write(metrics, details, results)
        return metrics

    def _warn_missing(self, subset: str, valid: NDArray[np.bool_]) -> None:
        """Say which joints of a subset have no valid sample."""
        missing = [name for name, count in zip(TWO_HANDS.names, valid.sum(axis=0), strict=True) if count == 0]
        logger = MMLogger.get_current_instance()
        if len(valid) == 0 or len(missing) == TWO_HANDS.num_joints:
            logger.warning(f"InterHandMPJPE: the subset '{subset}' has {len(valid)} samples and no valid joint; its "
                           "errors are NaN")
        elif missing:
            logger.warning(f"InterHandMPJPE: in the subset '{subset}' {len(missing)} joints have no valid sample and "
                           f"are left out of the macro mean: {', '.join(missing)}")

    def _warn_not_finite(self, errors: NDArray, valid: NDArray[np.bool_]) -> None:
        """Say how many predictions are not finite."""
        broken = (valid & ~np.isfinite(errors)).any(axis=1).sum()
        if broken:
            MMLogger.get_current_instance().warning(
                f"InterHandMPJPE: {broken} of {len(errors)} samples have predictions that are NaN or infinite; so are "
                "the errors. Has the training diverged?")

    def _write(self, metrics: Mapping[str, float], details: Mapping[str, dict], results: list[dict]) -> None:
        """Write the result file."""
        source = dict((self.dataset_meta or {}).get("data_source", {}))
        content: dict[str, Any] = {
            "protocol": PROTOCOL | {"depth source": source.get("root_depth", "abs_depth of the samples")},
            "data": source,
            "metrics": metrics,
            "details": details,
        }
        if self.save_predictions:
            content["predictions"] = [
                {"id": result["id"], "joints_rr_mm": result["pred"].round(3).tolist()} for result in results]
        path = Path(self.result_file or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_plain(content), indent=None if self.save_predictions else 2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        MMLogger.get_current_instance().info(f"InterHandMPJPE: results written to {path.absolute()}")


def _array(fields: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Return a field of a data sample, array or tensor, in float64 and without its instance axis."""
    if name not in fields:
        raise ValueError(f"InterHandMPJPE: expected {name!r} in the data sample, got only {sorted(fields.keys())}. "
                         "A meta key must be named in the meta_keys of PackPoseInputs.")
    value = fields[name]
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
    if array.size != np.prod(shape):
        raise ValueError(f"InterHandMPJPE: {name}: expected shape (1, {str(shape)[1:]}, got {array.shape}")
    return array.reshape(shape)


def _subset_metrics(subset: str, errors: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> dict[str, float]:
    """Return the metrics of one subset."""
    constant = np.broadcast_to(best_constant_pose(truth, valid), truth.shape)
    return {
        f"MPJPE_rr_macro_{subset}_mm": average_errors(errors, valid, average="macro"),
        f"MPJPE_rr_micro_{subset}_mm": average_errors(errors, valid, average="micro"),
        f"constant_pose_macro_{subset}_mm": average_errors(joint_errors(constant, truth), valid, average="macro"),
        f"samples_{subset}": len(truth),
    }


def _subset_details(errors: NDArray, valid: NDArray[np.bool_]) -> dict[str, dict]:
    """Return errors by joint and by finger, and counts of valid joints, for the result file."""
    means = per_joint_mean(errors, valid)
    fingers: dict[str, list[float]] = {finger: [] for finger in (*FINGERS, "wrist")}
    for joint, mean in enumerate(means):
        if valid[:, joint].any():
            fingers[TWO_HANDS.finger_of(joint)].append(float(mean))
    return {
        "per_joint_mm": dict(zip(TWO_HANDS.names, means.tolist(), strict=True)),
        "per_finger_mm": {finger: float(np.mean(part)) if part else float("nan") for finger, part in fingers.items()},
        "valid_samples": dict(zip(TWO_HANDS.names, valid.sum(axis=0).tolist(), strict=True)),
    }


def _plain(value: Any) -> Any:
    """Make a value fit for JSON: NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
