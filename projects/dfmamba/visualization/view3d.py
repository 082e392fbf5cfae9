"""A hand in space, drawn from the front, from the side and obliquely, as an image."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from dfmamba.geometry import Array
from dfmamba.skeleton import Skeleton
from dfmamba.visualization.colors import Color, joint_colors
from dfmamba.visualization.fonts import font

PANEL_PX, TOP_PX, LEFT_PX, BOTTOM_PX, GAP_PX = 380, 62, 62, 46, 16
TITLE_PX, NAME_PX, LABEL_PX = 18, 15, 12
BACKGROUND, GRID, FRAME, TEXT = (255, 255, 255), (226, 226, 226), (150, 150, 150), (20, 20, 20)
TICK_DISTANCE_PX = 45  # at least
SUBPIXEL_BITS = 4  # as in `overlay`


class View(NamedTuple):
    """A direction to look from: what points right and up in the panel, in the camera's frame (x right, y down, z away).

    The two labels are those of the axes along the panel's sides; an oblique view has none.
    """

    name: str
    right: tuple[float, float, float]
    up: tuple[float, float, float]
    labels: tuple[str, str] | None


def _oblique(elevation_deg: float, azimuth_deg: float) -> View:
    """Return the view of somebody who stands to the right of the camera, and higher."""
    e, a = math.radians(elevation_deg), math.radians(azimuth_deg)
    right = (math.cos(a), 0.0, math.sin(a))
    up = (-math.sin(e) * math.sin(a), -math.cos(e), math.sin(e) * math.cos(a))
    return View("oblique", right, up, None)


VIEWS = (
    View("front (camera's view)", (1, 0, 0), (0, -1, 0), ("right (x)", "up (-y)")),
    View("side (camera on the left)", (0, 0, 1), (0, -1, 0), ("away (z)", "up (-y)")),
    _oblique(25, 40),
)


def render_views(
    joints_mm: ArrayLike,
    valid: ArrayLike,
    skeleton: Skeleton,
    title: str = "",
    unit_xy: str = "mm",
) -> NDArray[np.uint8]:
    """Draw joints from the front, the side and obliquely; all panels and axes have one scale.

    Args:
        joints_mm: (J, 3) camera-space joints, absolute or root-relative: x right, y down, z away from the camera.
        valid: (J,) which joints are drawn.
        skeleton: Joint set with J joints; colours are by finger.
        title: Line above everything.
        unit_xy: Unit of x and y, "px" where they are those of the image; z is in mm in any case.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: No joint is valid.
    """
    shown = np.asarray(valid, dtype=bool)
    if not shown.any():
        raise ValueError("valid: expected at least one valid joint, got none")
    joints = np.where(shown[:, None], np.asarray(joints_mm, dtype=np.float64), np.nan)
    flat = [np.column_stack([joints @ view.right, joints @ view.up]) for view in VIEWS]
    centers = [(np.nanmin(points, axis=0) + np.nanmax(points, axis=0)) / 2 for points in flat]
    extent = max(float((np.nanmax(points, axis=0) - np.nanmin(points, axis=0)).max()) for points in flat)
    scale = 0.86 * PANEL_PX / max(extent, 1.0)  # px for a mm
    width = len(VIEWS) * (LEFT_PX + PANEL_PX) + GAP_PX
    sheet = PilImage.new("RGB", (width, TOP_PX + PANEL_PX + BOTTOM_PX), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((width / 2, 6), title, TEXT, font(TITLE_PX), anchor="ma")
    for number, (view, center) in enumerate(zip(VIEWS, centers, strict=True)):
        left = LEFT_PX + number * (LEFT_PX + PANEL_PX)
        pen.text((left + PANEL_PX / 2, 36), view.name, TEXT, font(NAME_PX), anchor="ma")
        pen.rectangle((left, TOP_PX, left + PANEL_PX, TOP_PX + PANEL_PX), outline=FRAME)
        if view.labels is not None:
            _draw_grid(pen, left, center, scale, view.labels, unit_xy)
    canvas = np.array(sheet)
    for number, (view, points, center) in enumerate(zip(VIEWS, flat, centers, strict=True)):
        middle = (LEFT_PX + number * (LEFT_PX + PANEL_PX) + PANEL_PX / 2, TOP_PX + PANEL_PX / 2)
        toward_viewer = joints @ np.cross(view.right, view.up)
        _draw_hand(canvas, middle + (points - center) * (scale, -scale), toward_viewer, shown, skeleton)
    return canvas


def _draw_grid(
    pen: ImageDraw.ImageDraw, left: int, center: Array, scale: float, labels: tuple[str, str], unit_xy: str
) -> None:
    """Draw lines at round numbers of the two axes, with numbers, names and units."""
    step = _round_number(TICK_DISTANCE_PX / scale)
    half = PANEL_PX / 2 / scale
    small = font(LABEL_PX)
    bottom, middle = TOP_PX + PANEL_PX, left + PANEL_PX / 2
    for axis in (0, 1):
        for number in range(math.ceil((center[axis] - half) / step), math.floor((center[axis] + half) / step) + 1):
            distance = (number * step - center[axis]) * scale
            text = f"{number * step:g}"
            if axis == 0:
                pen.line((middle + distance, TOP_PX + 1, middle + distance, bottom - 1), GRID)
                pen.text((middle + distance, bottom + 4), text, TEXT, small, anchor="ma")
            else:
                y = TOP_PX + PANEL_PX / 2 - distance
                pen.line((left + 1, y, left + PANEL_PX - 1, y), GRID)
                pen.text((left - 5, y), text, TEXT, small, anchor="rm")
    horizontal, vertical = (f"{label}, {'mm' if 'z' in label else unit_xy}" for label in labels)
    pen.text((middle, bottom + 22), horizontal, TEXT, small, anchor="ma")
    pen.text((left - 5, TOP_PX - 5), vertical, TEXT, small, anchor="ms")


def _round_number(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... and their tenths that is not less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _draw_hand(
    canvas: NDArray[np.uint8], points: Array, toward_viewer: Array, shown: NDArray[np.bool_], skeleton: Skeleton
) -> None:
    """Draw bones and joints, the farthest first."""
    colors: list[Color] = [tuple(int(value * 0.85) for value in color) for color in joint_colors(skeleton)]  # type: ignore[misc]
    fixed = np.round(np.nan_to_num(points) * 2**SUBPIXEL_BITS).astype(int).tolist()
    parts = [(toward_viewer[[child, parent]].mean(), child, parent) for child, parent in skeleton.bones]
    parts += [(depth, joint, joint) for joint, depth in enumerate(toward_viewer)]
    for _, child, parent in sorted(part for part in parts if shown[part[1]] and shown[part[2]]):
        if child == parent:
            cv2.circle(canvas, fixed[child], 4 << SUBPIXEL_BITS, colors[child], cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.line(canvas, fixed[child], fixed[parent], colors[child], 3, cv2.LINE_AA, SUBPIXEL_BITS)
