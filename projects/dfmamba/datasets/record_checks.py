"""What the parsers of several data sets do with single records: leave them out, check units and cameras."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.files import fault

TYPICAL_REACH_MM = 180.0  # wrist to the tip of the middle finger
REACH_MM = (5.0, 5000.0)  # a hand's largest distance from the wrist; a mistake between m and mm leaves it far behind


class Skip(Exception):  # noqa: N818, it is no error
    """Says why a record is left out that is not faulty."""


def describe_factor(measured_mm: float, typical_mm: float) -> str:
    """Say by which power of ten a length is off, and what that may mean; an empty text for less than a factor of 3.

    >>> describe_factor(0.041, 40)
    'too small by 1000: metres where mm belong?'
    """
    power = round(math.log10(measured_mm / typical_mm)) if 0 < measured_mm < math.inf else 0
    meaning = {-3: ": metres where mm belong?", -2: "", -1: ": centimetres where mm belong?",
               3: ": mm taken for metres?", 1: ": mm taken for centimetres?"}.get(power, "")
    return f"too {'small' if power < 0 else 'large'} by {10 ** abs(power)}{meaning}" if power else ""


def check_hand_size(path: Path, record: object, from_wrist_mm: NDArray, unit: str) -> None:
    """Refuse a hand that is so small or so large that metres and millimetres must have been mixed up.

    Args:
        path: The annotation file, for the message.
        record: The record, likewise.
        from_wrist_mm: (n, 3), joints relative to their wrist.
        unit: The unit that the file should have, for the message.

    Raises:
        ValueError: It is so.
    """
    reach = float(np.linalg.norm(from_wrist_mm, axis=1).max())
    if not REACH_MM[0] < reach < REACH_MM[1]:
        raise fault(path, record, f"joints in {unit}, of a hand that reaches {REACH_MM[0]:g} to {REACH_MM[1]:g} mm "
                    "from the wrist", f"one that reaches {reach:.4g} mm, {describe_factor(reach, TYPICAL_REACH_MM)}")


def pinhole_of_matrix(path: Path, record: object, matrix: NDArray) -> tuple[NDArray, NDArray]:
    """Return focal lengths (2,) and principal point (2,) in px of an intrinsic matrix (3, 3).

    Raises:
        ValueError: The matrix is no pinhole camera's: not finite, singular, skewed, or its last row is not 0 0 1.
    """
    focal, principal_point = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    expected = np.array([[focal[0], 0, principal_point[0]], [0, focal[1], principal_point[1]], [0, 0, 1]])
    if not (np.isfinite(matrix).all() and np.allclose(matrix, expected, atol=1e-4) and (focal > 0).all()):
        raise fault(path, record, "'K' [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with positive fx, fy", matrix.tolist())
    return focal, principal_point
