"""NYU's files do not say which coordinates they hold; the image and the ground truth tell."""

import numpy as np
from numpy.typing import ArrayLike

from dfmamba.evaluation.protocol import JointTable
from dfmamba.geometry import (
    NYU_COORDINATE_NAMES,
    NYU_COORDINATES,
    NYU_IMAGE_SIZE,
    nyu_distances_mm,
    other_nyu_coordinates,
)

NEAR_MM = 30.0  # of predictions: nobody doubts what is no farther off
OUTSIDE = 0.1  # of the joints, outside of the image: more than that are no u v d


def doubts(pred: JointTable, gt: JointTable) -> dict[str, str | None]:
    """Say what looks wrong about predictions; see `Protocol.doubts`."""
    coordinates = str(pred.fields["coordinates"][0]) if "coordinates" in pred.fields else "uvd"
    return {"may be other coordinates": doubt_about_nyu_coordinates(pred.joints_mm, gt.joints_mm, coordinates)}


def doubt_about_gt(gt: JointTable) -> str | None:
    """Say why a ground truth is not u v d; see `Protocol.doubt_about_gt`."""
    doubt = doubt_about_nyu_gt(gt.joints_mm)
    return f"expected u v d of joints, but {doubt}" if doubt else None


def doubt_about_nyu_gt(joints: ArrayLike) -> str | None:
    """Say why NYU's true joints (N, 14, 3), in our camera frame, do not look as if they had been u v d; else None.

    >>> hand = np.linspace([-50.0, -50, 700], [50, 50, 720], 14)[None]
    >>> doubt_about_nyu_gt(hand)
    >>> doubt_about_nyu_gt(NYU_COORDINATES["uvd"][0](-hand * [1, 1, -1] - 60))   # x, y, z that were read as u, v, d
    '100% of the points lie outside of the image (640 x 480 px). Are they x y z?'
    """
    uv = NYU_COORDINATES["uvd"][1](joints)[..., :2]
    outside = float(np.mean(np.any((uv < 0) | (uv >= NYU_IMAGE_SIZE), axis=-1)))
    if not outside > OUTSIDE:
        return None
    width, height = NYU_IMAGE_SIZE
    return f"{outside:.0%} of the points lie outside of the image ({width} x {height} px). Are they x y z?"


def doubt_about_nyu_coordinates(joints: ArrayLike, gt: ArrayLike, coordinates: str = "uvd") -> str | None:
    """Say in which other way NYU's predictions should perhaps be read; None if there is no doubt.

    Args:
        joints: (N, 14, 3), in our camera frame.
        gt: (N, 14, 3), in the same frame.
        coordinates: How `joints` were read, one of `dfmamba.geometry.NYU_COORDINATES`.
    """
    values = NYU_COORDINATES[coordinates][1](joints).reshape(-1, 3)
    distances = nyu_distances_mm(values, np.asarray(gt).reshape(-1, 3))
    other = other_nyu_coordinates(coordinates, distances, NEAR_MM)
    if other is None:
        return None
    return (
        f"read as {NYU_COORDINATE_NAMES[coordinates]} they are {distances[coordinates]:.1f} mm off in the median, "
        f"as {NYU_COORDINATE_NAMES[other]} {distances[other]:.1f} mm. For that, say --coordinates {other}"
    )
