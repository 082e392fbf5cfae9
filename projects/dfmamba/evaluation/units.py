"""Are these joints in millimetres? The length of bones tells."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.skeleton import skeleton_with

PLAUSIBLE_BONE_MM = (10.0, 100.0)  # medians: about 30 in a hand of 21 joints, about 45 between NYU's 14 points
FACTORS = {"metres": 1000.0, "centimetres": 10.0, "micrometres": 0.001}


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
    """Say why joints do not look as if they were in mm, and what they may be in; None if they do.

    >>> hand = np.arange(21.0)[None, :, None] * [0.0, 0.0, 0.025]  # 25 mm from joint to joint, in metres
    >>> doubt_about_mm(hand)
    'the median bone is 0.025 long; 10 to 100 mm were expected. Are they in metres?'
    >>> doubt_about_mm(hand * 1000)
    """
    length = median_bone(joints, valid)
    low, high = PLAUSIBLE_BONE_MM
    if not np.isfinite(length) or low <= length <= high:
        return None
    units = [name for name, factor in FACTORS.items() if low <= length * factor <= high]
    hint = f" Are they in {units[0]}?" if units else ""
    return f"the median bone is {length:.3g} long; {low:g} to {high:g} mm were expected.{hint}"
