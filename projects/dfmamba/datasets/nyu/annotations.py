"""The annotation files of the NYU hand pose data set (Tompson et al. 2014), read into arrays.

Needs no images. `joint_data.mat` holds 36 points of each frame as three Kinects see them, as u, v in px
and depth in mm (`joint_uvd`), and in mm with y UP (`joint_xyz`). Everybody evaluates the 14 points of
`dfmamba.skeleton.NYU_14`. Facts: the authors' saving script, A2J's and V2V-PoseNet's public code.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import MIN_DEPTH_MM, Fact, Hands, check_typical_reach, in_float32, keep_sound
from dfmamba.geometry import (
    NYU_COORDINATE_NAMES,
    NYU_COORDINATES,
    NYU_FOCAL,
    NYU_IMAGE_SIZE,
    camera_to_nyu_uvd,
    flip_y,
    nyu_distances_mm,
    nyu_uvd_to_camera,
    other_nyu_coordinates,
)
from dfmamba.io.files import read_mat
from dfmamba.io.record_errors import record_error
from dfmamba.io.regular_files import read_text
from dfmamba.skeleton import NYU_14, NYU_14_OF_36, NYU_36_NAMES

PARSER_VERSION = 3  # another number makes old indices useless
NUM_CAMERAS = 3
CENTER_KEY = "centre_pixel"
MIN_BOX_PX = 16  # so much of a box must be in the image, for the augmentation moves its sides by some pixels
NEAR_MM, FAR_MM = 50.0, 300.0  # of a center from the mean of the joints: no doubt, and surely another hand's
PALM = NYU_14.names.index("palm")


def cube_box(center_uvd: ArrayLike, half_mm: float) -> NDArray[np.float64]:
    """Return the image box [x0, y0, x1, y1] (..., 4) in px of what lies within `half_mm` of the center (..., 3).

    Left, right, top and bottom at the center's depth: half_mm f / d to each side of its u, v.
    """
    center_uvd = np.asarray(center_uvd, dtype=np.float64)
    half_px = half_mm * np.asarray(NYU_FOCAL) / center_uvd[..., 2:]
    return np.concatenate([center_uvd[..., :2] - half_px, center_uvd[..., :2] + half_px], axis=-1)


def depth_file_name(camera: int, frame: int) -> str:
    """Return the name of a depth image: cameras count from 1, files from 0000001, rows of the .mat files from 0.

    >>> depth_file_name(1, 0)
    'depth_1_0000001.png'
    """
    return f"depth_{camera}_{frame + 1:07d}.png"


def parse_nyu(
    joint_file: str | Path,
    center_file: str | Path | None = None,
    record_errors: RecordErrorPolicy | None = None,
    *,
    camera: int = 1,
    gt: str = "joint_uvd",
    half_mm: float = 110.0,
) -> AnnotationColumns:
    """Read the annotations of a split as one camera sees them, one record for every frame.

    Columns: frame (N,) int32 from 0; joints_cam (N, 14, 3) float64 in mm, y down; center (N, 3) float64, px, px,
    mm. A record is faulty if a joint or the center is not finite or not in front of the camera, if the hand's size
    shows another unit than mm, or if the box around the center does not meet the image (see
    `dfmamba.datasets.validation`). Frames for which V2V-PoseNet's file has no center are left out and counted. Errors
    number the records from 0, as the arrays do.

    Args:
        joint_file: `joint_data.mat`.
        center_file: For camera 1. A2J's `nyu_center_<split>.mat`, `centre_pixel` (N, 1, 3) in px, px, mm; or, if its
            name ends with .txt, V2V-PoseNet's `center_<split>_refined.txt`, lines of x, y, z in mm with y up, or
            'invalid'; or REN's and Pose-REN's `nyu_center.txt`, lines of u px, v px, depth mm: the true joints tell
            which. None for the mean of the 14 joints.
        record_errors: What happens to faulty records; they raise by default.
        camera: 1, 2 or 3.
        gt: `joint_uvd` or `joint_xyz`.
        half_mm: Half a side of the box around the center.

    Raises:
        ValueError: A file is damaged, an array is missing or has the wrong shape, a line has not three numbers, the two
            files have different numbers of frames, a record is faulty and `record_errors` does not tolerate it, or the
            hands of the whole set are too small or too large.
    """
    joint_file, record_errors = Path(joint_file), record_errors or RecordErrorPolicy()
    joints = _read_joints(joint_file, gt, camera)
    joints_cam: NDArray[np.floating] = nyu_uvd_to_camera(joints) if gt == "joint_uvd" else flip_y(joints)
    center_path, there = joint_file, np.ones(len(joints), dtype=bool)
    if center_file is None:
        center_uvd: NDArray[np.floating] = camera_to_nyu_uvd(joints_cam.mean(axis=1))
    else:
        center_path = Path(center_file)
        if center_path.suffix.lower() == ".txt":
            center_uvd, there = _read_text_centers(center_path, joint_file, joints_cam.mean(axis=1))
        else:
            center_uvd, there = _read_a2j_centers(center_path, len(joints), joint_file)
    hands = Hands(lambda rows: joints_cam[rows], np.ones(joints.shape[:2], dtype=bool), NYU_14, [PALM])
    skipped: Counter[str] = Counter()
    sound = keep_sound(
        range(len(joints)),
        [
            Fact(center_path, "a center", there, lambda _: "none", reason="no center"),
            *hands.facts(joint_file, gt, "mm"),
            Fact(
                center_path,
                f"a finite center (px, px, mm) whose box of +-{half_mm} mm meets the image of "
                f"{NYU_IMAGE_SIZE[0]} x {NYU_IMAGE_SIZE[1]} px",
                _meets_image(center_uvd, half_mm),
                lambda frame: center_uvd[frame].tolist(),
            ),
        ],
        record_errors,
        skipped,
    )
    check_typical_reach(joint_file, hands.typical_reach_mm(sound), "mm")
    return AnnotationColumns(
        {"frame": np.flatnonzero(sound).astype(np.int32), "joints_cam": joints_cam[sound], "center": center_uvd[sound]},
        dict(skipped) | record_errors.skipped,
    )


def _read_joints(path: Path, gt: str, camera: int) -> NDArray[np.float64]:
    """Return the 14 joints (N, 14, 3) of one camera as the file has them."""
    points = _read_array(path, gt)
    expected = f"{gt!r} of shape ({NUM_CAMERAS}, frames, {len(NYU_36_NAMES)}, 3)"
    if points.ndim != 4 or (points.shape[0], *points.shape[2:]) != (NUM_CAMERAS, len(NYU_36_NAMES), 3):
        raise record_error(path, "-", expected, f"shape {points.shape}")
    return points[camera - 1][:, NYU_14_OF_36].astype(np.float64)


def _read_a2j_centers(path: Path, num_frames: int, joint_file: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the centers (N, 3) in px, px, mm, and which of them are there (N,): all."""
    centers = _read_array(path, CENTER_KEY)
    if centers.shape not in ((num_frames, 1, 3), (num_frames, 3)):
        raise record_error(
            path,
            "-",
            f"{CENTER_KEY!r} of shape ({num_frames}, 1, 3), one for every frame of {joint_file}",
            f"shape {centers.shape}",
        )
    return centers.reshape(num_frames, 3).astype(np.float64), np.ones(num_frames, dtype=bool)


def _read_text_centers(
    path: Path, joint_file: Path, true_centers: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return the centers (N, 3) in px, px, mm, NaN where the file has none, and which of them are there (N,).

    Lines of three numbers do not say whether they are xyz or uvd; the true ones (N, 3), in camera space, do.
    """
    num_frames, lines = len(true_centers), read_text(path).splitlines()
    if len(lines) != num_frames:
        raise record_error(path, "-", f"{num_frames} lines, one for every frame of {joint_file}", f"{len(lines)} lines")
    centers, there = np.full((num_frames, 3), np.nan), np.array([line.split()[:1] != ["invalid"] for line in lines])
    for frame in np.flatnonzero(there):
        try:
            centers[frame] = np.array(lines[frame].split(), dtype=np.float64).reshape(3)
        except ValueError:
            raise record_error(path, frame, "x, y, z in mm or 'invalid'", repr(lines[frame][:100])) from None
    distances = nyu_distances_mm(centers, true_centers)
    name = other_nyu_coordinates("xyz", distances, NEAR_MM) or "xyz"
    if not distances[name] <= FAR_MM and there.any() and np.isfinite(distances[name]):
        told = ", ".join(f"{distances[key]:.0f} mm as {NYU_COORDINATE_NAMES[key]}" for key in distances)
        raise record_error(
            path, "-", f"centers of the hands of {joint_file}", f"some that are in the median off by {told}"
        )
    return camera_to_nyu_uvd(NYU_COORDINATES[name][0](centers)), there


def _read_array(path: Path, key: str) -> NDArray[Any]:
    """Return a numeric array of a .mat file."""
    array = read_mat(path, [key])[key]  # `joint_names` is a cell, which is not read
    if array.dtype.kind not in "iuf":
        raise record_error(path, "-", f"real numbers in {key!r}", f"the type {array.dtype}")
    return array


def _meets_image(center_uvd: NDArray[np.floating], half_mm: float) -> NDArray[np.bool_]:
    """Say for which centers (N, 3) at least `MIN_BOX_PX` of the box around it are in the image, each way."""
    meets = np.isfinite(in_float32(center_uvd)).all(axis=1) & (in_float32(center_uvd[:, 2]) >= MIN_DEPTH_MM)
    boxes, last = cube_box(center_uvd[meets], half_mm), np.array(NYU_IMAGE_SIZE) - 1
    meets[meets] = (np.minimum(boxes[:, 2:], last) - np.maximum(boxes[:, :2], 0) >= MIN_BOX_PX).all(axis=1)
    return meets
