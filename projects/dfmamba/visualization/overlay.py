"""Draw a hand skeleton on an image, and cut square tiles out of images. Pure functions on arrays; images are RGB."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import Array
from dfmamba.skeleton import Skeleton
from dfmamba.visualization.colors import GT_COLOR, OUTLINE_COLOR, Color, joint_colors

Image = NDArray[np.uint8]

# OpenCV draws at fractions of a pixel when coordinates come as integers with so many fractional bits.
SUBPIXEL_BITS = 4
FAR_PX = 10_000  # farther points, such as those of a hand behind the camera, would overflow


def to_rgb(image: NDArray, bgr: bool = True) -> Image:
    """Make an image (H, W, C) fit for drawing: one channel becomes grey, BGR becomes RGB.

    Anything but uint8, such as depth, is stretched to 0-255; in depth in mm, 0 is no reading and becomes black.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        readings = pixels[pixels != 0]
        low, high = (float(readings.min()), float(readings.max())) if readings.size else (0.0, 1.0)
        pixels = np.where((pixels == 0) & (low > 0), 0, (pixels - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    elif bgr:
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels)


def draw_skeleton(
    image: Image,
    points_px: ArrayLike,
    valid: ArrayLike,
    skeleton: Skeleton,
    colors: Sequence[Color] | None = None,
    outline: Color | None = GT_COLOR,
    thickness: int = 2,
    radius: int = 4,
) -> Image:
    """Return a copy of an image with bones as lines and joints as discs.

    Args:
        image: (H, W, 3) uint8 RGB.
        points_px: (J, 2) joints in px; integers are the centers of pixels.
        valid: (J,) which joints are drawn; a bone needs both its ends. Points that are not finite are left out.
        skeleton: Joint set with J joints.
        colors: One a joint, RGB; None colours by finger. A bone has the colour of its child joint.
        outline: Colour of a rim one pixel wide around everything, None for no rim.
        thickness: Width of a bone in px.
        radius: Radius of a joint in px.

    Raises:
        ValueError: A shape does not fit.
    """
    points, shown = np.asarray(points_px, dtype=np.float64), np.asarray(valid, dtype=bool)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if points.shape != (skeleton.num_joints, 2) or shown.shape != (skeleton.num_joints,):
        raise ValueError(
            f"points_px, valid: expected ({skeleton.num_joints}, 2) and ({skeleton.num_joints},), "
            f"got {points.shape} and {shown.shape}"
        )
    shown = shown & np.isfinite(points).all(axis=1)
    shown &= (np.abs(np.where(shown[:, None], points, 0)) < FAR_PX).all(axis=1)
    canvas = np.ascontiguousarray(image).copy()
    colors = joint_colors(skeleton) if colors is None else colors
    if outline is not None:
        _draw(canvas, points, shown, skeleton, [outline] * skeleton.num_joints, thickness + 2, radius + 1)
    _draw(canvas, points, shown, skeleton, colors, thickness, radius)
    return canvas


def _draw(
    canvas: Image,
    points: Array,
    shown: NDArray[np.bool_],
    skeleton: Skeleton,
    colors: Sequence[Color],
    thickness: int,
    radius: int,
) -> None:
    fixed = [tuple(int(v) for v in point) for point in np.round(np.where(shown[:, None], points, 0) * 2**SUBPIXEL_BITS)]
    for child, parent in skeleton.bones:
        if shown[child] and shown[parent]:
            cv2.line(canvas, fixed[child], fixed[parent], colors[child], thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    for joint in np.flatnonzero(shown).tolist():
        cv2.circle(canvas, fixed[joint], radius << SUBPIXEL_BITS, colors[joint], cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_gt(image: Image, points_px: ArrayLike, valid: ArrayLike, skeleton: Skeleton) -> Image:
    """Draw the true joints: broad, black, with a white rim, so that they are seen on bright and on dark ground."""
    black = [GT_COLOR] * skeleton.num_joints
    return draw_skeleton(image, points_px, valid, skeleton, black, outline=OUTLINE_COLOR, thickness=4, radius=5)


def draw_boxes(image: Image, corners_px: ArrayLike, colors: Sequence[Color], thickness: int) -> Image:
    """Draw boxes (N, 4), x0, y0, x1, y1 in px, on a copy of an image, one colour for each."""
    drawn = image.copy()
    for box, color in zip(np.asarray(corners_px).round().astype(int).tolist(), colors, strict=True):
        cv2.rectangle(drawn, box[:2], box[2:], color, thickness)
    return drawn


def transform_points(points_px: ArrayLike, matrix: ArrayLike) -> Array:
    """Apply a (2, 3) matrix to points (..., 2)."""
    matrix = np.asarray(matrix)
    return np.asarray(points_px) @ matrix[:, :2].T + matrix[:, 2]


def stack_images(images: Sequence[Image]) -> Image:
    """Return images (H, W, 3), RGB, one below the other, each centered on white."""
    width = max(image.shape[1] for image in images)
    rows = []
    for image in images:
        left = (width - image.shape[1]) // 2
        margins = ((0, 0), (left, width - image.shape[1] - left), (0, 0))
        rows.append(np.pad(image, margins, constant_values=255))
    return np.concatenate(rows)
