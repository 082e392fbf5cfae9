"""What every protocol takes and gives: joints of samples, errors, curves, scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.functional import (
    joint_errors,
    pck_curve_of_errors,
    per_joint_mean,
    require_roots,
    root_align,
    scale_to_bone,
)
from dfmamba.skeleton import FINGERS, HAND_JOINTS, WRIST, Skeleton, skeleton_with

SCALE_BONE = (WRIST, HAND_JOINTS.index("middle1"))  # S2DHand's unit of length, and DetNet's


class Errors(NamedTuple):
    """Errors (N, J) in mm after one alignment, and which of them count (N, J)."""

    values_mm: NDArray[np.floating]
    valid: NDArray[np.bool_]


class Curve(NamedTuple):
    """Which part (T,) of the joints or frames has an error <= each threshold (T,)."""

    thresholds_mm: NDArray[np.floating]
    fraction: NDArray[np.floating]


class Scores(NamedTuple):
    """What a protocol gives.

    Attributes:
        metrics: Numbers by name; the name says alignment, average, range and unit.
        curves: By label.
        details: For each subset of the samples ('all' if there is one): mean errors by joint and by finger, and numbers
            of valid samples by joint.
    """

    metrics: dict[str, float]
    curves: dict[str, Curve]
    details: dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class JointTable:
    """Joints of N samples, true or predicted: what a result file, an annotation file or a test holds.

    Attributes:
        ids: What tells the samples apart, numbers or texts.
        joints_mm: (N, J, 3), in the order of `dfmamba.skeleton`.
        valid: (N, J), which joints of a ground truth are annotated; all of a prediction.
        fields: What else a protocol reads, by name, each (N, ...).
        source: File name, for messages.
        has_every_record: Of a ground truth: no record of the data set's annotation is left out, not even one without a
            valid joint (InterHand2.6M's handedness accuracy counts them).
    """

    ids: Sequence[int | str]
    joints_mm: NDArray[np.floating]
    valid: NDArray[np.bool_]
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    source: str = ""
    has_every_record: bool = False

    def rows(self, numbers: Sequence[int]) -> "JointTable":
        """Return some of the samples, each once."""
        rows = np.asarray(numbers, dtype=np.int64)
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            joints_mm=self.joints_mm[rows],
            valid=self.valid[rows],
            fields={name: values[rows] for name, values in self.fields.items()},
            has_every_record=self.has_every_record and len(rows) == len(self.ids),
        )


@dataclass(frozen=True)
class Protocol:
    """A protocol by name: how it scores and what it says about itself.

    Attributes:
        prefix: Of the names of its metrics in an evaluation.
        skeleton: The joints.
        score: From prediction and ground truth, row by row, to scores.
        description: Name, source, alignment, unit, averages, valid joints, thresholds; repeated in result files.
        title: Of the table.
        table: Row to column to the name of a metric, which may be empty; the rows together give the order of columns.
        main: The published number, and what `constant` is compared with.
        constant: The same number for the best constant pose.
        notes: Metrics below the table where there are any, label to name.
        ignores_unknown: Predictions of samples that the ground truth does not have are left out (images without a hand,
            records without a valid joint); else they are an error.
        of_frames: The same for tables of frames, where this one is for tables of camera images (AssemblyHands).
        doubts: From predictions and ground truth of the same samples to what looks wrong about the predictions and why,
            such as "may not be absolute": "the wrist is in the origin".
        doubt_about_gt: Why a ground truth is not what it should be, as the end of a sentence; None if it is.
    """

    prefix: str
    skeleton: Skeleton
    score: Callable[[JointTable, JointTable], Scores]
    description: Mapping[str, str]
    title: str
    table: Mapping[str, Mapping[str, str]]
    main: str
    constant: str
    notes: Mapping[str, str] = field(default_factory=dict)
    ignores_unknown: bool = False
    of_frames: "Protocol | None" = None
    doubts: Callable[[JointTable, JointTable], Mapping[str, str | None]] = lambda pred, gt: {}
    doubt_about_gt: Callable[[JointTable], str | None] = lambda gt: None


def root_relative_errors(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Errors:
    """Return errors with each hand's own wrist subtracted; a hand without a valid wrist does not count.

    Args:
        pred: (N, 21 or 42, 3).
        gt: (N, 21 or 42, 3).
        valid: (N, 21 or 42).
    """
    roots = skeleton_with(np.shape(gt)[1]).root_of_joint
    return Errors(joint_errors(root_align(pred, roots), root_align(gt, roots)), require_roots(valid, roots))


def constant_pose_errors(gt: ArrayLike, valid: ArrayLike) -> Errors:
    """Return the root-relative errors of the best constant pose, fitted on the ground truth of these very samples.

    Args:
        gt: (N, 21 or 42, 3).
        valid: (N, 21 or 42).
    """
    roots = skeleton_with(np.shape(gt)[1]).root_of_joint
    relative, mask = root_align(gt, roots), require_roots(valid, roots)
    pose = np.broadcast_to(best_constant_pose(relative, mask), relative.shape)
    return Errors(joint_errors(pose, relative), mask)


def pck(errors: Errors, thresholds_mm: NDArray[np.floating]) -> Curve:
    """Return the curve of correct keypoints."""
    return Curve(thresholds_mm, pck_curve_of_errors(errors.values_mm, thresholds_mm, errors.valid))


def require_joints(valid: ArrayLike, *joints: int) -> NDArray[np.bool_]:
    """Take away the hands, rows of `valid` (N, J), in which one of some joints is not valid.

    >>> require_joints([[1, 1, 0], [1, 1, 1]], 0, 2)
    array([[False, False, False],
           [ True,  True,  True]])
    """
    mask = np.array(valid, dtype=bool)
    return mask & mask[:, list(joints)].all(axis=1, keepdims=True)


def bone_scaled_errors(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike) -> Errors:
    """Return root-relative errors (hands, 21) after S2DHand's scale; hands without a valid middle1 do not count."""
    scaled = scale_to_bone(pred, gt, SCALE_BONE)
    return root_relative_errors(scaled, gt, require_joints(valid, *SCALE_BONE))


def count_rows(errors: Errors) -> int:
    """Count the samples or hands with a joint that counts."""
    return int(errors.valid.any(axis=1).sum())


def joint_details(errors: Errors) -> dict[str, dict[str, Any]]:
    """Return errors by joint and by finger, and numbers of valid samples; NaN where there are none."""
    skeleton = skeleton_with(errors.valid.shape[1])
    means, counts = per_joint_mean(*errors), errors.valid.sum(axis=0)
    fingers: dict[str, list[float]] = {finger: [] for finger in dict.fromkeys((*FINGERS, "wrist"))}
    for joint in np.flatnonzero(counts):
        fingers.setdefault(skeleton.finger_of(int(joint)), []).append(float(means[joint]))
    return {
        "per_joint_mm": dict(zip(skeleton.names, means.tolist(), strict=True)),
        "per_finger_mm": {finger: float(np.mean(part)) if part else float("nan") for finger, part in fingers.items()},
        "valid_samples": dict(zip(skeleton.names, counts.tolist(), strict=True)),
    }


def stack_fields(fields: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Join the fields of samples; one that only some samples have is NaN in the others.

    >>> stack_fields([{"a": np.array([1.0, 2.0])}, {}])
    {'a': array([[ 1.,  2.],
           [nan, nan]])}
    """
    examples = {name: value for entry in fields for name, value in entry.items()}
    return {
        name: np.array([entry.get(name, np.full_like(example, np.nan)) for entry in fields])
        for name, example in examples.items()
    }
