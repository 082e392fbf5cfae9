"""The calibration files of DexYCB: intrinsics of the cameras.

Facts: the data set's toolkit. The labels are in each camera's own frame, so the adapter needs no extrinsics.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import Fact, camera_facts, keep_sound
from dfmamba.io.files import get_array, get_key, read_yaml


def intrinsics_path(root: Path, serial: str) -> Path:
    """Return where a camera's intrinsics should be."""
    return root / "calibration" / "intrinsics" / f"{serial}_640x480.yml"


def intrinsics_file(root: Path, serial: str) -> Path:
    """Return the file with a camera's intrinsics.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = intrinsics_path(root, serial)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path} (the intrinsics of a camera)")
    return path


def read_intrinsics(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return focal lengths (2,) and principal point (2,) in px of a colour camera.

    Raises:
        ValueError: The file is no YAML of plain data, or a number is missing, or no camera's (see `camera_facts`).
    """
    color = get_key(path, "-", read_yaml(path), "color")
    fx, fy, cx, cy = (float(get_array(path, "color", color, key, ())) for key in ("fx", "fy", "ppx", "ppy"))
    focal, principal_point = np.array([fx, fy]), np.array([cx, cy])
    _require("color", camera_facts(path, focal[None], principal_point[None]))
    return focal, principal_point


def _require(record: str, facts: Sequence[Fact]) -> None:
    """Raise the error of a fact about one camera that does not hold."""
    keep_sound([record], facts, RecordErrorPolicy("raise"), Counter())
