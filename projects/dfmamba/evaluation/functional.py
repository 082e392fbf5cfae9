"""Errors of 3D hand joints: pure numpy, needs no torch and no mmengine.

Joints are arrays (N, J, 3) in mm in canonical order (`dfmamba.skeleton`), N samples of J joints. `valid` (N, J) says
which joints count; None means all. A mean over nothing is NaN. A prediction that is NaN makes the mean NaN: it is never
left out.

Names of protocols:
    rr      root-relative: each hand's own wrist is subtracted, from the prediction and from the ground truth
    PA      Procrustes-aligned: the best similarity transform is applied to the prediction
    macro   mean over joints of the per-joint means over samples (InterNet, A2J-Transformer, the paper; also FreiHAND's
            evaluation, used by DexYCB)
    micro   mean over all valid joints of all samples (mmpose)
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.skeleton import NUM_HAND_JOINTS

Array = NDArray[np.floating]
Average = Literal["macro", "micro"]


def root_align(joints: ArrayLike, root_of_joint: Sequence[int]) -> Array:
    """Subtract from every joint the root of its hand.

    Args:
        joints: (..., J, 3).
        root_of_joint: Index of the root of each of the J joints, such as `TWO_HANDS.root_of_joint`.

    >>> root_align([[1.0, 0.0, 5.0], [1.0, 2.0, 3.0]], root_of_joint=(1, 1))
    array([[ 0., -2.,  2.],
           [ 0.,  0.,  0.]])
    """
    joints = np.asarray(joints)
    relative: NDArray[np.floating] = joints - joints[..., list(root_of_joint), :]
    return relative


def require_roots(valid: ArrayLike, root_of_joint: Sequence[int]) -> NDArray[np.bool_]:
    """Take away the joints of hands whose root is not valid; `valid` (N, J) as a boolean array, a copy.

    >>> require_roots([[1, 0], [1, 1]], root_of_joint=(1, 1))
    array([[False, False],
           [ True,  True]])
    """
    mask: NDArray[np.bool_] = np.array(valid, dtype=bool)
    mask &= mask[:, list(root_of_joint)]
    return mask


def split_hands(values: ArrayLike) -> NDArray[Any]:
    """Turn two hands a sample (N, 42, ...) into one a row (2N, 21, ...), right and left in turn; (N, 21, ...) stays.

    Raises:
        ValueError: The second axis has another length.
    """
    values = np.asarray(values)
    if values.ndim < 2 or values.shape[1] not in (NUM_HAND_JOINTS, 2 * NUM_HAND_JOINTS):
        raise ValueError(
            f"joints: expected shape (N, {NUM_HAND_JOINTS} or {2 * NUM_HAND_JOINTS}, ...), got {values.shape}"
        )
    return values.reshape(-1, NUM_HAND_JOINTS, *values.shape[2:])


def scale_to_bone(pred: ArrayLike, gt: ArrayLike, bone: tuple[int, int]) -> Array:
    """Scale each prediction about the origin so that one of its bones is as long as the ground truth's.

    It uses the ground truth: errors after it are smaller than without, and say nothing about the predicted size.

    Args:
        pred: (N, J, 3).
        gt: (N, J, 3).
        bone: The two joints.

    Returns:
        (N, J, 3); NaN where the predicted bone has no length.

    >>> scale_to_bone([[[0.0, 0, 0], [0, 2, 0]]], [[[9.0, 9, 9], [9, 9, 14]]], bone=(0, 1))
    array([[[0., 0., 0.],
            [0., 5., 0.]]])
    """
    pred, gt = np.asarray(pred), np.asarray(gt)
    length, true_length = (np.linalg.norm(joints[:, bone[0]] - joints[:, bone[1]], axis=-1) for joints in (pred, gt))
    scaled: NDArray[np.floating] = pred * (true_length / np.where(length > 0, length, np.nan))[:, None, None]
    return scaled


def joint_errors(pred: ArrayLike, gt: ArrayLike) -> Array:
    """Return the Euclidean distance of each joint, (...) in mm for joints (..., 3).

    >>> joint_errors([[3.0, 4.0, 0.0]], [[0.0, 0.0, 0.0]])
    array([5.])
    """
    pred, gt = np.asarray(pred), np.asarray(gt)
    if pred.shape != gt.shape:
        raise ValueError(f"pred and ground truth: expected the same shape, got {pred.shape} and {gt.shape}")
    errors: NDArray[np.floating] = np.linalg.norm(pred - gt, axis=-1)
    return errors


def per_joint_mean(values: ArrayLike, valid: ArrayLike | None = None) -> Array:
    """Return the mean over the valid samples, (J,) for values (N, J); NaN for a joint without a valid sample.

    >>> per_joint_mean([[1.0, 8.0], [3.0, 9.0]], [[True, False], [True, False]])
    array([ 2., nan])
    """
    values, mask = _masked(values, valid)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.floating] = np.where(mask, values, 0).sum(axis=0) / mask.sum(axis=0)
    return means


def mpjpe(
    pred: ArrayLike,
    gt: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    average: Average = "macro",
    exclude_joints: Sequence[int] = (),
) -> float:
    """Return the mean per-joint position error in mm; align before, for example with `root_align`.

    InterHand2.6M's protocol is root-relative, macro, with the wrists, whose error is 0. Without them (`exclude_joints`
    the roots) the number is 42/40 of that.

    Args:
        pred: (N, J, 3).
        gt: (N, J, 3).
        valid: (N, J).
        average: 'macro' or 'micro', see above. In 'macro', a joint without a valid sample is left out of the mean.
        exclude_joints: Indices of joints that do not count.

    >>> gt = np.zeros((2, 2, 3))
    >>> pred = np.array([[[0.0, 0, 0], [3, 4, 0]], [[7, 0, 0], [0, 0, 99]]])  # errors [[0, 5], [7, 99]]
    >>> valid = [[True, True], [True, False]]
    >>> mpjpe(pred, gt, valid)                      # ((0 + 7) / 2 + 5) / 2
    4.25
    >>> mpjpe(pred, gt, valid, average="micro")     # (0 + 7 + 5) / 3
    4.0
    >>> mpjpe(pred, gt, valid, exclude_joints=[1])       # (0 + 7) / 2
    3.5
    """
    return average_errors(joint_errors(pred, gt), valid, average=average, exclude_joints=exclude_joints)


def average_errors(
    errors: ArrayLike, valid: ArrayLike | None = None, *, average: Average = "macro", exclude_joints: Sequence[int] = ()
) -> float:
    """Average errors (N, J) to one number; see `mpjpe`, which does the same with joints.

    >>> average_errors([[0.0, 5.0], [7.0, 99.0]], [[True, True], [True, False]])
    4.25
    """
    if average not in ("macro", "micro"):
        raise ValueError(f"average: expected 'macro' or 'micro', got {average!r}")
    errors, mask = _masked(errors, valid)
    mask[:, list(exclude_joints)] = False
    if not mask.any():
        return float("nan")
    if average == "micro":
        return float(errors[mask].mean())
    return float(per_joint_mean(errors, mask)[mask.any(axis=0)].mean())


def median_error(errors: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Return the mean over joints of the medians of their valid errors (N, J), as `EvalUtil` does; NaN without any.

    >>> median_error([[1.0, 4.0], [2.0, 0.0], [9.0, 0.0]], [[True, True], [True, False], [True, False]])
    3.0
    """
    errors, mask = _masked(errors, valid)
    medians = [np.median(errors[mask[:, joint], joint]) for joint in np.flatnonzero(mask.any(axis=0))]
    return float(np.mean(medians)) if medians else float("nan")


def _masked(values: ArrayLike, valid: ArrayLike | None) -> tuple[Array, NDArray[np.bool_]]:
    """Return values (N, J) and a mask of the same shape, a copy."""
    values = np.asarray(values, dtype=np.float64)
    mask = np.ones(values.shape, dtype=bool) if valid is None else np.array(valid, dtype=bool)
    if values.ndim != 2 or mask.shape != values.shape:
        raise ValueError(
            f"valid: expected one flag for each joint of each sample, shape {values.shape} (N, J), got {mask.shape}"
        )
    return values, mask


def pck_curve(pred: ArrayLike, gt: ArrayLike, thresholds_mm: ArrayLike, valid: ArrayLike | None = None) -> Array:
    """Return the percentage of correct keypoints as a fraction, (T,): errors <= threshold, mean over joints.

    Per joint, the part of its valid samples; then the mean over the joints that have one (FreiHAND's and hand3d's
    `EvalUtil`). NaN without a valid joint. A prediction that is NaN is never correct.

    >>> pck_curve(np.array([[[5.0, 0, 0], [20, 0, 0]]]), np.zeros((1, 2, 3)), [4, 5, 20])
    array([0. , 0.5, 1. ])
    """
    return pck_curve_of_errors(joint_errors(pred, gt), thresholds_mm, valid)


def pck_curve_of_errors(errors: ArrayLike, thresholds_mm: ArrayLike, valid: ArrayLike | None = None) -> Array:
    """Return `pck_curve` for errors (N, J) in mm.

    >>> pck_curve_of_errors([[5.0, 20.0]], [4, 5, 20])
    array([0. , 0.5, 1. ])
    """
    errors, mask = _masked(errors, valid)
    thresholds = np.asarray(thresholds_mm, dtype=np.float64)
    joints = np.flatnonzero(mask.any(axis=0))
    if len(joints) == 0:
        return np.full(thresholds.shape, np.nan)
    curves = [
        np.searchsorted(np.sort(errors[mask[:, joint], joint]), thresholds, side="right") / mask[:, joint].sum()
        for joint in joints
    ]  # NaN sorts behind all numbers
    mean: NDArray[np.floating] = np.mean(curves, axis=0)
    return mean


def pck_auc(
    pred: ArrayLike,
    gt: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    low_mm: float = 0.0,
    high_mm: float = 50.0,
    num_thresholds: int = 100,
) -> float:
    """Return the area under the curve of correct keypoints, by the trapezoid rule, divided by the range.

    The range and the number of thresholds are part of the protocol: DexYCB 0-50 mm with 100; hand3d (RHD) 0-50 with
    20; S2DHand and Minimal-Hand-pytorch 20-50 with 15, DetNet's authors with 16. Alignment (and scale) come before.

    Raises:
        ValueError: The range is empty, or there are fewer than two thresholds.

    >>> zero = np.zeros((1, 1, 3))
    >>> pck_auc(zero, zero), pck_auc(zero + [60.0, 0, 0], zero)
    (1.0, 0.0)
    >>> round(pck_auc(zero + [25.0, 0, 0], zero, num_thresholds=3), 2)   # PCK 0, 1, 1 at 0, 25, 50 mm
    0.75
    """
    if not low_mm < high_mm or num_thresholds < 2:
        raise ValueError(
            "low_mm, high_mm, num_thresholds: expected low < high and at least 2 thresholds, "
            f"got {low_mm}, {high_mm}, {num_thresholds}"
        )
    thresholds = np.linspace(low_mm, high_mm, num_thresholds)
    return area_under(thresholds, pck_curve(pred, gt, thresholds, valid))


def area_under(thresholds_mm: ArrayLike, fractions: ArrayLike) -> float:
    """Return the area under a curve by the trapezoid rule, divided by the range of its thresholds.

    >>> area_under([20, 30, 50], [0.0, 1.0, 1.0])   # (5 + 20) / 30
    0.8333333333333334
    """
    thresholds = np.asarray(thresholds_mm, dtype=np.float64)
    area = np.trapezoid(np.asarray(fractions, dtype=np.float64), thresholds)
    return float(area / (thresholds[-1] - thresholds[0]))


def success_rate(frame_errors: ArrayLike, thresholds_mm: ArrayLike) -> Array:
    """Return which part of the frames has an error <= each threshold, (T,); NaN without frames.

    Args:
        frame_errors: (N,) one error a frame in mm, such as its largest or its mean one. NaN is no success.
        thresholds_mm: (T,).

    >>> success_rate([5.0, 20.0, float("nan"), 30.0], [4, 5, 20])
    array([0.  , 0.25, 0.5 ])
    """
    return pck_curve_of_errors(np.asarray(frame_errors, dtype=np.float64)[:, None], thresholds_mm)


def procrustes_align(
    pred: ArrayLike, gt: ArrayLike, valid: ArrayLike | None = None, *, reflection: bool = False, epsilon: float = 0.0
) -> Array:
    """Move each prediction onto its ground truth by the similarity transform with the least squared error.

    Args:
        pred: (N, J, 3).
        gt: (N, J, 3).
        valid: (N, J), which joints decide the transform; it is applied to all. A sample without a valid joint stays as
            it is; one with fewer than three that are not in a line has more than one best rotation.
        reflection: Allow mirror images, as DexYCB's evaluation does.
        epsilon: Added to the norm of the centered prediction that the scale is divided by; DexYCB's evaluation has
            1e-8, which also draws a prediction with all joints in one point to the ground truth's mean.

    Returns:
        The moved predictions, (N, J, 3).

    >>> triangle = np.array([[[0.0, 0, 0], [10, 0, 0], [0, 20, 0]]])
    >>> moved = 2 * triangle[..., [1, 0, 2]] * [1, -1, 1] + 7       # turned by 90 degrees, scaled, shifted
    >>> np.abs(procrustes_align(moved, triangle) - triangle).max() < 1e-9
    np.True_
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    _, mask = _masked(joint_errors(pred, gt), valid)
    weight = (mask / np.maximum(mask.sum(axis=1, keepdims=True), 1))[..., None]
    pred_mean = (np.where(weight > 0, pred, 0) * weight).sum(axis=1, keepdims=True)
    gt_mean = (np.where(weight > 0, gt, 0) * weight).sum(axis=1, keepdims=True)
    source = np.where(weight > 0, pred - pred_mean, 0)
    target = np.where(weight > 0, gt - gt_mean, 0)
    left, singular, right = np.linalg.svd(source.transpose(0, 2, 1) @ target)  # row vectors: source @ rotation
    sign = np.ones_like(singular)
    if not reflection:
        sign[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = (left * sign[:, None]) @ right
    spread = (np.sqrt((source**2).sum(axis=(1, 2))) + epsilon) ** 2
    scale = np.where(spread > 0, (singular * sign).sum(axis=1) / np.where(spread > 0, spread, 1), 1)
    aligned = scale[:, None, None] * (pred - pred_mean) @ rotation + gt_mean
    return np.where(np.any(mask, axis=1)[:, None, None], aligned, pred)


def mrrpe(
    pred_right: ArrayLike,
    pred_left: ArrayLike,
    gt_right: ArrayLike,
    gt_left: ArrayLike,
    valid: ArrayLike | None = None,
) -> float:
    """Return the mean relative-root position error in mm: the error of the vector from right to left wrist.

    Args:
        pred_right: (N, 3), predicted right wrists in camera space; InterNet's depths are those of `lift_wrists`
            (`dfmamba.datasets.interhand26m.protocol`).
        pred_left: (N, 3), predicted left wrists.
        gt_right: (N, 3).
        gt_left: (N, 3).
        valid: (N,), samples of two hands with both wrists annotated.

    >>> wrist = np.zeros((1, 3))
    >>> mrrpe(wrist, wrist + [103.0, 4, 0], wrist, wrist + [100.0, 0, 0])
    5.0
    """
    errors = joint_errors(np.subtract(pred_left, pred_right), np.subtract(gt_left, gt_right))
    return average_errors(errors[:, None], None if valid is None else np.asarray(valid)[:, None])


def handedness_accuracy(pred: ArrayLike, gt: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Return the part of samples in which both hands are told rightly to be there or not (InterNet).

    Args:
        pred: (N, 2) probabilities of a right and of a left hand: above 0.5 is there, below is not. Exactly 0.5 and NaN
            are never right.
        gt: (N, 2), 1 where the hand is there.
        valid: (N,), where the label may be used (`hand_type_valid`).

    >>> handedness_accuracy([[0.9, 0.2], [0.9, 0.8], [0.1, 0.1]], [[1, 0], [1, 0], [1, 1]], [True, True, False])
    0.5
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt)
    right = np.all(np.where(gt > 0.5, pred > 0.5, pred < 0.5), axis=1)
    counted = right if valid is None else right[np.asarray(valid, dtype=bool)]
    return float(counted.mean()) if counted.size else float("nan")
