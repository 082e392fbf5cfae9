"""The crops that models see, for pictures without a data set's pipeline: with numpy and OpenCV alone.

The pipelines of mmpose make the same crops with `GetBBoxCenterScale` and `TopdownAffine`, those of NYU with
`CropDepthCube`; tests hold the two together. Points: x, y in px, the center of the first pixel is 0, 0.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import Array

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Crop:
    """A part of a picture, and where it lies there.

    Attributes:
        pixels: (height, width, channels).
        center: (2,), of the part, in px of the picture.
        extent: (2,), its width and height in px of the picture.
    """

    pixels: Pixels
    center: Array
    extent: Array

    def to_picture(self, points_px: ArrayLike) -> Array:
        """Take points (..., 2) from px of the crop to px of the picture, as mmpose does with predictions."""
        size = np.array(self.pixels.shape[1::-1], dtype=np.float32)
        return np.asarray(points_px) / size * self.extent + self.center - self.extent / 2


def crop_color(image: Pixels, box: ArrayLike, padding: float, size: tuple[int, int]) -> Crop:
    """Cut a box out of a color picture; what lies outside the picture is black.

    The box is made larger by `padding`, then wider or higher until it has the shape of the crop.

    Args:
        image: (H, W, 3) uint8.
        box: (4,), x0, y0, x1, y1 in px.
        padding: Factor on both sides.
        size: (width, height) of the crop in px.
    """
    corners = np.asarray(box, dtype=np.float32).reshape(2, 2)
    center, (width, height) = corners.mean(axis=0), (corners[1] - corners[0]) * np.float32(padding)
    aspect = size[0] / size[1]
    extent = np.array([width, width / aspect] if width > height * aspect else [height * aspect, height], np.float32)
    # From three points in float32, as mmpose has it: then every pixel is the same.
    corner = np.array([[0, 0], [0, -0.5], [-0.5, -0.5]], dtype=np.float32)
    matrix = cv2.getAffineTransform(
        center + extent[0] * corner, np.array(size, dtype=np.float32) / 2 + np.float32(size[0]) * corner
    )
    return Crop(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), center, extent)


def crop_depth(depth_mm: Pixels, box: ArrayLike, center_mm: float, half_mm: float, size: tuple[int, int]) -> Crop:
    """Cut a cube out of a depth image: the box in the plane, and `half_mm` before and behind a depth.

    Pixels take the nearest reading. Those of the crop are mm relative to the depth of the center; outside the cube, and
    outside the image, 0.

    Args:
        depth_mm: (H, W).
        box: (4,), x0, y0, x1, y1 in px, of which the part inside the image counts.
        center_mm: Depth of the cube's center.
        half_mm: Half the depth of the cube.
        size: (width, height) of the crop in px.

    Raises:
        ValueError: The box does not meet the image.
    """
    box = clamp_box(box, depth_mm.shape[1], depth_mm.shape[0])
    stretch = np.array(size, dtype=np.float64) / (box[2:] - box[:2])
    matrix = np.column_stack([np.diag(stretch), -stretch * box[:2]])
    crop = cv2.warpAffine(
        depth_mm, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=center_mm
    )
    relative = clip_to_cube(crop, center_mm, half_mm)[..., None]
    return Crop(relative, ((box[:2] + box[2:]) / 2).astype(np.float32), (box[2:] - box[:2]).astype(np.float32))


def clamp_box(box: ArrayLike, width: int, height: int, name: str = "box") -> NDArray[np.float64]:
    """Return a box [x0, y0, x1, y1] (4,) in px as far as it lies in an image.

    Args:
        box: (4,).
        width: Of the image in px.
        height: Of the image in px.
        name: Whose box it is, for the message.

    Raises:
        ValueError: Less than a pixel of it does.
    """
    corners = np.asarray(box, dtype=np.float64)
    clamped = corners.clip(0, [width - 1, height - 1, width - 1, height - 1])
    if not (clamped[2:] - clamped[:2] >= 1).all():  # NaN as well
        raise ValueError(
            f"{name}: expected a 'bbox' [x0, y0, x1, y1] that meets the image of {width} x {height} px, "
            f"got {corners.tolist()}"
        )
    return clamped


def clip_to_cube(depth_mm: Pixels, center_mm: float, half_mm: float) -> Pixels:
    """Return depth relative to the center; 0 where it is `half_mm` or more away from it, so holes (0 mm) are 0 too."""
    relative = depth_mm - center_mm
    return np.where(np.abs(relative) < half_mm, relative, 0).astype(depth_mm.dtype)
