"""Pinhole cameras, rigid transforms and crop boxes: pure numpy.

Units: image points and boxes in pixels, space in millimetres. Camera frame: x right, y down, z forward. Arrays may have
any number of leading axes. A box is (x, y, w, h) or (x0, y0, x1, y1); the names of functions and arguments say which.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

# NYU's depth camera in px, as its evaluation has it (awesome-hand-pose-estimation, A2J; V2V has two more digits). Those
# write fy = -587.07, for NYU's xyz has y up; in our frame, y down, fy is positive.
NYU_FOCAL, NYU_PRINCIPAL_POINT = (588.03, 587.07), (320.0, 240.0)
NYU_IMAGE_SIZE = (640, 480)  # width, height


def project(points: ArrayLike, focal: ArrayLike, principal_point: ArrayLike) -> Array:
    """Project camera-space points (..., 3) in mm to the image; return (..., 2) in px.

    u = fx X / Z + cx, v = fy Y / Z + cy. A point on the camera plane (Z = 0) gives infinite or NaN coordinates.
    """
    points = np.asarray(points)
    with np.errstate(divide="ignore", invalid="ignore"):
        return points[..., :2] / points[..., 2:] * np.asarray(focal) + np.asarray(principal_point)


def back_project(points_px: ArrayLike, depth: ArrayLike, focal: ArrayLike, principal_point: ArrayLike) -> Array:
    """Lift image points (..., 2) in px with absolute depth (...) in mm to camera space; return (..., 3) in mm."""
    depth = np.asarray(depth)[..., None]
    xy = (np.asarray(points_px) - np.asarray(principal_point)) / np.asarray(focal) * depth
    return np.concatenate([xy, depth], axis=-1)


def nyu_uvd_to_camera(uvd: ArrayLike) -> Array:
    """Lift NYU's u px, v px, depth mm (..., 3) to our camera frame, (..., 3) in mm: y down, where its xyz has y up."""
    uvd = np.asarray(uvd)
    return back_project(uvd[..., :2], uvd[..., 2], NYU_FOCAL, NYU_PRINCIPAL_POINT)


def camera_to_nyu_uvd(points: ArrayLike) -> Array:
    """Project camera-space points (..., 3) in mm, y down, to NYU's u px, v px, depth mm."""
    points = np.asarray(points)
    return np.concatenate([project(points, NYU_FOCAL, NYU_PRINCIPAL_POINT), points[..., 2:]], axis=-1)


def flip_y(points: ArrayLike) -> Array:
    """Turn NYU's xyz (..., 3), x right, y up, z forward, into our camera frame with y down; the same way back."""
    return np.asarray(points) * (1, -1, 1)


# How files say where NYU's joints are: name to the functions into our camera frame and back.
NYU_COORDINATES: dict[str, tuple[Callable[[ArrayLike], Array], Callable[[ArrayLike], Array]]] = {
    "uvd": (nyu_uvd_to_camera, camera_to_nyu_uvd),
    "xyz": (flip_y, flip_y),
    "xyz-y-down": (np.asarray, np.asarray),
}
NYU_COORDINATE_NAMES = {
    "uvd": "u px, v px, depth mm",
    "xyz": "x, y, z in mm with y up",
    "xyz-y-down": "x, y, z in mm with y down",
}


def nyu_distances_mm(values: ArrayLike, gt: ArrayLike) -> dict[str, float]:
    """Return how far points are from the ground truth if they are read in each way of `NYU_COORDINATES`: medians in mm.

    Args:
        values: (N, 3), as a file has them.
        gt: (N, 3) in our camera frame, mm. What is not finite does not count.
    """

    def median(points: Array) -> float:
        distance = np.linalg.norm(points - np.asarray(gt), axis=-1)
        distance = distance[np.isfinite(distance)]
        return float(np.median(distance)) if distance.size else float("nan")

    with np.errstate(invalid="ignore", over="ignore"):
        return {name: median(to_camera(values)) for name, (to_camera, _) in NYU_COORDINATES.items()}


def other_nyu_coordinates(name: str, distances_mm: Mapping[str, float], near_mm: float) -> str | None:
    """Return the way to read points that puts them where the ground truth is, if the given one does not; else None.

    It must halve the distance, and the given one must be farther off than `near_mm`.
    """
    best = min(distances_mm, key=lambda other: distances_mm[other])
    far = distances_mm[name] > near_mm and distances_mm[best] < distances_mm[name] / 2
    return best if far else None


def world_to_camera(points: ArrayLike, rotation: ArrayLike, camera_center: ArrayLike) -> Array:
    """Move world points (..., 3) to the camera frame: R (X - c), with the camera's center c in world mm.

    This is InterHand2.6M's convention (`camrot`, `campos`); it is not R X + t. Of many cameras, `rotation` is
    (..., 3, 3) and `camera_center` (..., 1, 3).
    """
    return (np.asarray(points) - np.asarray(camera_center)) @ np.swapaxes(np.asarray(rotation), -1, -2)


def look_at(center: ArrayLike, target: ArrayLike, roll_deg: float = 0.0) -> Array:
    """Return the rotation (3, 3) from a world whose y points down to a camera at `center` that looks at `target`.

    Both (3,). The camera stands upright, then turns about its optical axis; positive angles turn what it sees
    anticlockwise in the image. Nothing is defined for a camera that looks straight up or down.
    """
    forward = np.asarray(target, dtype=np.float64) - np.asarray(center)
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    return turn_about_optical_axis(upright.T, -roll_deg).T


def move_rigidly(points: ArrayLike, rotation: ArrayLike, translation: ArrayLike) -> Array:
    """Turn points (..., 3), then shift them: R X + t, in the unit of both.

    AssemblyHands' extrinsics go from world to camera in this way, DexYCB's from camera to world. InterHand2.6M's do
    not: `world_to_camera`.
    """
    return np.asarray(points) @ np.swapaxes(np.asarray(rotation), -1, -2) + np.asarray(translation)


def invert_rigid(rotation: ArrayLike, translation: ArrayLike) -> tuple[Array, Array]:
    """Return rotation (3, 3) and translation (3,) of the motion that undoes R X + t: R^T and -R^T t."""
    back = np.asarray(rotation).T
    return back, -back @ np.asarray(translation)


def metres_to_mm(lengths_m: ArrayLike) -> Array:
    """Turn metres into millimetres: RHD's pickles and DexYCB's labels are in metres, all the rest is not."""
    return np.asarray(lengths_m, dtype=np.float64) * 1000


def turn_about_optical_axis(points: ArrayLike, angle_deg: float) -> Array:
    """Turn camera-space points (..., 3) about the z axis; positive angles turn x towards y, clockwise in the image."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.asarray(points) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def rotation_to_optical_axis(direction: ArrayLike) -> Array:
    """Return the smallest rotation (3, 3) that takes a camera-space direction (3,) with z > 0 to the optical axis."""
    x, y, z = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    # Rodrigues' formula about the axis (y, -x, 0), whose angle has the cosine z
    return np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), -x], [-x * y / (1 + z), 1 - y * y / (1 + z), -y], [x, y, z]]
    )


def xywh_to_xyxy(box_xywh: ArrayLike) -> Array:
    """Turn (..., x, y, w, h) into (..., x0, y0, x1, y1), both in px; the far corner is x + w, y + h."""
    box = np.asarray(box_xywh)
    return np.concatenate([box[..., :2], box[..., :2] + box[..., 2:]], axis=-1)


def xyxy_to_xywh(box_xyxy: ArrayLike) -> Array:
    """Turn (..., x0, y0, x1, y1) into (..., x, y, w, h), both in px."""
    box = np.asarray(box_xyxy)
    return np.concatenate([box[..., :2], box[..., 2:] - box[..., :2]], axis=-1)


def tight_box(points_px: ArrayLike, valid: ArrayLike, enlarge: float = 1.0) -> Array:
    """Return the box (x, y, w, h) in px around the valid points, enlarged about its center.

    Args:
        points_px: (J, 2) points in px.
        valid: (J,) which of them count.
        enlarge: Factor on both sides; InterHand2.6M's annotated boxes use 1.2.

    Raises:
        ValueError: No point is valid.
    """
    points = np.asarray(points_px)[np.asarray(valid, dtype=bool)]
    if len(points) == 0:
        raise ValueError("valid: expected at least one valid point, got none")
    low, high = points.min(axis=0), points.max(axis=0)
    size = (high - low) * enlarge
    return np.concatenate([(low + high) / 2 - size / 2, size])


def fit_affine(source: ArrayLike, target: ArrayLike) -> Array:
    """Return the affine map (2, 3) that takes points (n, 2) to others with the least squares of distances.

    Three points or more that are not on a line say what it is.
    """
    source = np.asarray(source, dtype=np.float64)
    center = source.mean(axis=0)  # keeps the system well conditioned for points far from the origin
    system = np.column_stack([source - center, np.ones(len(source))])
    linear = np.linalg.lstsq(system, np.asarray(target, dtype=np.float64), rcond=None)[0].T  # (2, 3)
    return np.column_stack([linear[:, :2], linear[:, 2] - linear[:, :2] @ center])


def mirror_points(points_px: ArrayLike, width: int) -> Array:
    """Mirror points (..., 2 or more) of an image left to right: u becomes width - 1 - u, the rest stays.

    Pixels have their centers at whole numbers, so column 0 becomes column width - 1.
    """
    points = np.array(points_px)  # a copy
    points[..., 0] = width - 1 - points[..., 0]
    return points


def mirror_box(box_xyxy: ArrayLike, width: int) -> Array:
    """Mirror boxes (..., x0, y0, x1, y1) of an image left to right, as `mirror_points` does with their corners."""
    x0, y0, x1, y1 = np.moveaxis(np.asarray(box_xyxy), -1, 0)
    return np.stack([width - 1 - x1, y0, width - 1 - x0, y1], axis=-1)
