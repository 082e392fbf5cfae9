"""NYU's community text format: a line for each frame, u v d of 14 joints (px, px, mm).

That is the format of the published predictions and labels that awesome-hand-pose-estimation collects: 42 numbers a
line, in the order of the frames, with an image name or the number of the frame in front in some files. Joints are those
of `dfmamba.skeleton.NYU_14`, in their order. In a `JointTable` they are in our camera frame: y down, mm.

Some publish x y z in mm instead, with y up (`xyz`) or down (`xyz-y-down`, such as denseReg); nothing in such a file
says so. `dfmamba.evaluation.score_tables` compares with the ground truth and raises a doubt.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.errors import DataError
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.geometry import NYU_COORDINATES, camera_to_nyu_uvd
from dfmamba.io.record_errors import place_error
from dfmamba.io.text_lines import check_unique, is_number, parse_numbers, read_lines
from dfmamba.skeleton import NYU_14

NUMBERS = 3 * NYU_14.num_joints
MAT_KEY = "xyz_estimation"


def read_nyu_text(path: str | Path, coordinates: str = "uvd") -> JointTable:
    """Read a file; ids are frame numbers from 1.

    They are the numbers in front, or those that the names in front end with, or else the numbers of the lines. Numbers
    in front that are 0, 1, 2, ... count from 0.

    Args:
        path: The file.
        coordinates: One of `dfmamba.geometry.NYU_COORDINATES`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line has more or fewer numbers, something that is no finite number, a depth that is not positive,
            a name or a frame's number in some lines only, a name without digits, or one that was there before.
    """
    path = Path(path)
    frames: dict[int | str, str] = {}
    rows, front = [], None
    for line, text in read_lines(path):
        words = text.replace(",", " ").split()
        kind = _kind_of(words)
        if front is not None and kind != front:
            raise place_error(
                path,
                f"line {line}",
                "an image name, or the number of a frame, in front in all lines or in none",
                repr(words[0]),
            )
        front = kind
        frame = _frame_of(path, line, words[0]) if kind == "name" else int(words[0]) if kind == "number" else line
        check_unique(path, f"line {line}", frame, frames)
        points = parse_numbers(path, line, words[kind != "joints" :], NUMBERS).reshape(-1, 3)
        if not (points[:, 2] > 0).all():
            raise place_error(
                path, f"line {line}", f"{' '.join(coordinates[:3])} with depths above 0 mm", points[:, 2].min()
            )
        rows.append(points)
    return nyu_table(_count_from_1(path, list(frames), front), np.array(rows), coordinates, str(path))


def nyu_table(frames: Sequence[int | str], points: NDArray[np.floating], coordinates: str, source: str) -> JointTable:
    """Return a table of points (N, 14, 3); unless they are u v d, its field `coordinates` (N,) says what they were."""
    joints = NYU_COORDINATES[coordinates][0](points)
    fields = {} if coordinates == "uvd" else {"coordinates": np.full(len(joints), coordinates)}
    return JointTable(frames, joints, np.ones(joints.shape[:2], dtype=bool), fields, source)


def _kind_of(words: Sequence[str]) -> str:
    """Say what a line begins with: a 'name', the 'number' of a frame before 42 others, or the 'joints' themselves."""
    if not is_number(words[0]):
        return "name"
    return "number" if len(words) == NUMBERS + 1 and words[0].isascii() and words[0].isdigit() else "joints"


def _count_from_1(path: Path, frames: list[int | str], front: str | None) -> list[int | str]:
    """Return frame numbers from 1. Numbers that start with 0 must be those of the lines, or what they mean is open."""
    if front != "number" or 0 not in frames:
        return frames
    if frames != list(range(len(frames))):
        raise place_error(path, f"line {frames.index(0) + 1}", "frame numbers from 1, or 0, 1, 2, ... in order", 0)
    return list(range(1, len(frames) + 1))


def _frame_of(path: Path, line: int, name: str) -> int:
    """Return the frame number in an image name: the last digits before the suffix."""
    found = re.search(r"([0-9]{1,9})(\.\w+)?$", name)
    if not found:
        raise place_error(
            path, f"line {line}", "an image name with a frame number, such as depth_1_0000001.png", repr(name)
        )
    return int(found[1])


def write_nyu_text(path: str | Path, table: JointTable) -> None:
    """Write joints of our camera frame in mm; with image names unless the frames are 1, 2, 3, ...

    Raises:
        ValueError: A frame occurs twice, or a joint is not in front of the camera.
    """
    order = np.argsort(np.asarray(table.ids), kind="stable")
    frames = np.asarray(table.ids)[order]
    if len(np.unique(frames)) != len(frames):
        twice = frames[1:][np.diff(frames) == 0]
        raise ValueError(f"{path}: expected each frame once, got frame {twice[0]} again")
    if not (table.joints_mm[..., 2] > 0).all():
        raise ValueError(
            f"{path}: expected joints in front of the camera, got a depth of {table.joints_mm[..., 2].min():.1f} mm"
        )
    complete = np.array_equal(frames, np.arange(1, len(frames) + 1))
    with Path(path).open("w", encoding="utf-8") as file:
        for frame, uvd in zip(frames, camera_to_nyu_uvd(table.joints_mm[order]), strict=True):
            name = "" if complete else f"depth_1_{frame:07d}.png "
            file.write(name + " ".join(f"{value:.4f}" for value in uvd.reshape(-1)) + "\n")


def read_nyu_mat(path: str | Path) -> JointTable:
    """Read `xyz_estimation` (N, 14, 3) in mm, of the frames 1 to N: Ge et al.'s files.

    Hand PointNet (CVPR 2018) and Point-to-Point (ECCV 2018) have x, y, z with y up, the 3D CNN (CVPR 2017) the same
    turned half about x: y down, and depths below 0. That is what convert_results_xyz2uvd_Ge.py and
    convert_results_xyz2uvd_3DCNN.py in evaluation/src of xinghaochen/awesome-hand-pose-estimation make of them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no MATLAB file with that array, or depths are above and below 0, or not finite.
    """
    from dfmamba.io.files import read_mat  # scipy, for these files alone

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


def read_nyu(path: Path, coordinates: str | None = None) -> JointTable:
    """Read a file of predictions, text or MATLAB.

    Args:
        path: The file.
        coordinates: Of a text: one of `dfmamba.geometry.NYU_COORDINATES`, 'uvd' by default. The depths in a MATLAB file
            tell.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty, or `coordinates` does not fit it.
    """
    if coordinates is not None and coordinates not in NYU_COORDINATES:
        raise ValueError(f"coordinates: expected one of {list(NYU_COORDINATES)}, got {coordinates!r}")
    if path.suffix.lower() != ".mat":
        return read_nyu_text(path, coordinates or "uvd")
    if coordinates is not None:
        raise ValueError(f"coordinates: expected none for {path}, whose depths tell, got {coordinates!r}")
    return read_nyu_mat(path)


def read_annotations(path: Path) -> JointTable | None:
    """Read `joint_data.mat`; None for a text."""
    if path.suffix != ".mat":
        return None
    from dfmamba.datasets.nyu.ground_truth import read_nyu_gt

    return read_nyu_gt(path)


RESULTS = ResultFiles(
    read=read_nyu,
    write=write_nyu_text,
    read_annotations=read_annotations,
)
