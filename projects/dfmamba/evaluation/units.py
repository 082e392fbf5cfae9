"""Are these joints in millimetres, and where they are said to be? Bones tell, the image, and the ground truth."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.skeleton import WRIST, skeleton_with

AT_ORIGIN_MM, MANY = 1.0, 0.5  # no camera is so near to a wrist; part of the samples

POSSIBLE_BONE_MM = (1.0, 1000.0)  # of the median, which is about 30 in a hand of 21 joints, and 45 in NYU's 14 points


def median_bone(joints: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Return the median length of the bones with two valid, finite ends; NaN without any.

    Args:
        joints: (N, 14, 21 or 42, 3).
        valid: (N, J).
    """
    joints = np.asarray(joints)
    mask = np.isfinite(joints).all(axis=-1)
    if valid is not None:
        mask &= np.asarray(valid, dtype=bool)
    child, parent = np.array(skeleton_with(joints.shape[1]).bones).T
    lengths = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)[mask[:, child] & mask[:, parent]]
    return float(np.median(lengths)) if lengths.size else float("nan")


def doubt_about_mm(joints: ArrayLike, valid: ArrayLike | None = None) -> str | None:
    """Say why joints do not look as if they were in mm; None if they do, or if there is no bone to see.

    >>> hand = np.arange(21.0)[None, :, None] * [0.0, 0.0, 0.025]  # 25 mm from joint to joint, in metres
    >>> doubt_about_mm(hand)
    'the median bone is 0.025 long; 1 to 1000 mm were expected. Are they in metres?'
    >>> doubt_about_mm(hand * 1000)
    """
    length = median_bone(joints, valid)
    low, high = POSSIBLE_BONE_MM
    if not np.isfinite(length) or low <= length <= high:
        return None
    hint = " Are they in metres?" if low < 1000 * length < high else ""
    return f"the median bone is {length:.3g} long; {low:g} to {high:g} mm were expected.{hint}"


def doubt_about_absolute_places(joints: ArrayLike, gt: ArrayLike) -> str | None:
    """Say why predictions (N, 21, 3) look relative to their wrists, where absolute ones are scored; None if they don't.

    >>> hand = np.arange(21.0)[None, ::-1, None] * [0.0, 0.0, 25.0]
    >>> doubt_about_absolute_places(hand, hand + [0, 0, 700])
    'in 100% of the samples the wrist is in the origin. Are they relative to it? Then say --root-relative'
    >>> doubt_about_absolute_places(hand + [0, 0, 690], hand + [0, 0, 700])
    """
    at_origin, truly = (np.linalg.norm(np.asarray(part)[:, WRIST], axis=-1) < AT_ORIGIN_MM for part in (joints, gt))
    part = float(np.mean(at_origin & ~truly)) if len(at_origin) else 0.0
    if part <= MANY:
        return None
    return f"in {part:.0%} of the samples the wrist is in the origin. Are they relative to it? Then say --root-relative"
