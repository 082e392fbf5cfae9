"""Predictions from files of any format that is exchanged for a data set: text, JSON, and NYU's MATLAB files."""

from pathlib import Path

import numpy as np

from dfmamba.errors import DataError
from dfmamba.evaluation.result_files import read_assemblyhands_json, read_nyu_text, read_result_file
from dfmamba.evaluation.result_files.nyu_text import nyu_table
from dfmamba.evaluation.scores import JointTable
from dfmamba.geometry import NYU_COORDINATES
from dfmamba.skeleton import NYU_14

MAT_KEY = "xyz_estimation"


def read_predictions(
    protocol: str, path: str | Path, *, by_camera: bool = False, coordinates: str | None = None
) -> JointTable:
    """Read a file of predictions.

    Args:
        protocol: One of `dfmamba.evaluation.PROTOCOLS`.
        path: The file.
        by_camera: assemblyhands: what was predicted in each camera's image, where the file has that.
        coordinates: nyu, text: 'uvd' (default), 'xyz' or 'xyz-y-down'.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty, or `coordinates` does not fit it.
    """
    if coordinates is not None and coordinates not in NYU_COORDINATES:
        raise ValueError(f"coordinates: expected one of {list(NYU_COORDINATES)}, got {coordinates!r}")
    if protocol == "assemblyhands":
        return read_assemblyhands_json(path, by_camera=by_camera)
    if protocol == "nyu" and Path(path).suffix.lower() == ".mat":
        if coordinates is not None:
            raise ValueError(f"coordinates: expected none for {path}, whose depths tell, got {coordinates!r}")
        return read_nyu_mat(path)
    return read_nyu_text(path, coordinates or "uvd") if protocol == "nyu" else read_result_file(protocol, path)


def read_nyu_mat(path: str | Path) -> JointTable:
    """Read `xyz_estimation` (N, 14, 3) in mm, of the frames 1 to N: Ge et al.'s files.

    Hand PointNet (CVPR 2018) and Point-to-Point (ECCV 2018) have x, y, z with y up, the 3D CNN (CVPR 2017) the same
    turned half about x: y down, and depths below 0. That is what convert_results_xyz2uvd_Ge.py and
    convert_results_xyz2uvd_3DCNN.py in evaluation/src of xinghaochen/awesome-hand-pose-estimation make of them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no MATLAB file with that array, or depths are above and below 0, or not finite.
    """
    from dfmamba.datasets.files import read_mat

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    points = read_mat(path, [MAT_KEY])[MAT_KEY].astype(np.float64)
    if points.ndim != 3 or points.shape[1:] != (NYU_14.num_joints, 3) or not np.isfinite(points).all():
        raise DataError(
            f"{path}: expected {MAT_KEY!r} of shape (frames, {NYU_14.num_joints}, 3), finite numbers, got "
            f"shape {points.shape}, {np.isfinite(points).sum()} finite numbers"
        )
    if (points[..., 2] < 0).all():
        points = points * (1, -1, -1)
    if not (points[..., 2] > 0).all():
        raise DataError(
            f"{path}: expected depths that are all above, or all below 0 mm, got "
            f"{points[..., 2].min():g} to {points[..., 2].max():g}"
        )
    return nyu_table(range(1, len(points) + 1), points, "xyz", str(path))
