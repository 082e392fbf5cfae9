"""Are these joints in millimetres, and where they are said to be? Bones tell, the image, and the truth."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.geometry import (
    NYU_COORDINATE_NAMES,
    NYU_COORDINATES,
    NYU_IMAGE_SIZE,
    nyu_distances_mm,
    other_nyu_coordinates,
)
from dfmamba.skeleton import WRIST, skeleton_with

NEAR_MM = 30.0  # of NYU predictions: nobody doubts what is no farther off
AT_ORIGIN_MM, MANY = 1.0, 0.5  # no camera is so near to a wrist; part of the samples
OUTSIDE = 0.1  # of the joints, outside of NYU's image: more than that are no u v d

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


def doubt_about_absolute_places(joints: ArrayLike, truth: ArrayLike) -> str | None:
    """Say why predictions (N, 21, 3) look relative to their wrists, where absolute ones are scored; None if they don't.

    >>> hand = np.arange(21.0)[None, ::-1, None] * [0.0, 0.0, 25.0]
    >>> doubt_about_absolute_places(hand, hand + [0, 0, 700])
    'in 100% of the samples the wrist is in the origin. Are they relative to it? Then say --root-relative'
    >>> doubt_about_absolute_places(hand + [0, 0, 690], hand + [0, 0, 700])
    """
    at_origin, truly = (np.linalg.norm(np.asarray(part)[:, WRIST], axis=-1) < AT_ORIGIN_MM for part in (joints, truth))
    part = float(np.mean(at_origin & ~truly)) if len(at_origin) else 0.0
    if part <= MANY:
        return None
    return f"in {part:.0%} of the samples the wrist is in the origin. Are they relative to it? Then say --root-relative"


def doubt_about_nyu_truth(joints: ArrayLike) -> str | None:
    """Say why NYU's true joints (N, 14, 3), in our camera frame, do not look as if they had been u v d; else None.

    >>> hand = np.linspace([-50.0, -50, 700], [50, 50, 720], 14)[None]
    >>> doubt_about_nyu_truth(hand)
    >>> doubt_about_nyu_truth(NYU_COORDINATES["uvd"][0](-hand * [1, 1, -1] - 60))   # x, y, z that were read as u, v, d
    '100% of the points lie outside of the image (640 x 480 px). Are they x y z?'
    """
    uv = NYU_COORDINATES["uvd"][1](joints)[..., :2]
    outside = float(np.mean(np.any((uv < 0) | (uv >= NYU_IMAGE_SIZE), axis=-1)))
    if not outside > OUTSIDE:
        return None
    width, height = NYU_IMAGE_SIZE
    return f"{outside:.0%} of the points lie outside of the image ({width} x {height} px). Are they x y z?"


def doubt_about_nyu_coordinates(joints: ArrayLike, truth: ArrayLike, coordinates: str = "uvd") -> str | None:
    """Say in which other way NYU's predictions should perhaps be read; None if there is no doubt.

    Args:
        joints: (N, 14, 3), in our camera frame.
        truth: (N, 14, 3), likewise.
        coordinates: How `joints` were read, one of `dfmamba.geometry.NYU_COORDINATES`.
    """
    values = NYU_COORDINATES[coordinates][1](joints).reshape(-1, 3)
    distances = nyu_distances_mm(values, np.asarray(truth).reshape(-1, 3))
    other = other_nyu_coordinates(coordinates, distances, NEAR_MM)
    if other is None:
        return None
    return (
        f"read as {NYU_COORDINATE_NAMES[coordinates]} they are {distances[coordinates]:.1f} mm off in the median, "
        f"as {NYU_COORDINATE_NAMES[other]} {distances[other]:.1f} mm. For that, say --coordinates {other}"
    )
