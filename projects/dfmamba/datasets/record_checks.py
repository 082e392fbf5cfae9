"""What the parsers of several data sets do with single records: leave them out, or check a hand's unit."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.files import fault

REACH_MM = (5.0, 5000.0)  # a hand's largest distance from the wrist; a mistake between m and mm leaves it far behind


class Skip(Exception):  # noqa: N818, it is no error
    """Says why a record is left out that is not faulty."""


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
                    "from the wrist", f"one that reaches {reach:.4g} mm")
