"""The calibration files of DexYCB: intrinsics of the cameras, and where the cameras stood.

Facts: the data set's toolkit. The labels are in each camera's own frame, so the adapter needs the intrinsics alone; the
extrinsics bring the cameras of a recording together, as checks and pictures of several views do.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.files import fault, get_array, get_key, read_yaml


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


def read_intrinsics(path: Path) -> tuple[NDArray, NDArray]:
    """Return focal lengths (2,) and principal point (2,) in px of a colour camera.

    Raises:
        ValueError: The file is no YAML of plain data, or a number is missing, not finite, or no focal length.
    """
    color = get_key(path, "-", read_yaml(path), "color")
    fx, fy, cx, cy = (float(get_array(path, "color", color, key, ())) for key in ("fx", "fy", "ppx", "ppy"))
    if not np.isfinite([fx, fy, cx, cy]).all() or fx <= 0 or fy <= 0:
        raise fault(path, "color", "finite 'fx', 'fy', 'ppx', 'ppy' in px with positive fx, fy", [fx, fy, cx, cy])
    return np.array([fx, fy]), np.array([cx, cy])


def read_extrinsics(path: Path, serial: str) -> tuple[NDArray, NDArray]:
    """Return rotation (3, 3) and translation (3,) in metres from a camera to the world, R X + t.

    The world is the frame of the `master` camera. `geometry.invert_rigid` gives the way from the world to the camera.

    Args:
        path: `calibration/extrinsics_<name>/extrinsics.yml`; `<name>` is in a recording's `meta.yml`.
        serial: The camera.

    Raises:
        ValueError: The file is no YAML of plain data and tuples, lacks the camera, or the matrix is no rigid motion.
    """
    table = get_key(path, "-", read_yaml(path), "extrinsics")
    matrix = get_array(path, serial, table, serial, (12,), "the camera").reshape(3, 4)
    rotation, translation = matrix[:, :3], matrix[:, 3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0 \
            or not np.isfinite(translation).all():
        raise fault(path, serial, "12 numbers [R|t], row by row, with a rotation R", matrix.tolist())
    return rotation, translation
