"""A hand in space, drawn from the front and from the side, as an image."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from dfmamba.geometry import Array
from dfmamba.skeleton import Skeleton
from dfmamba.visualization.colors import joint_colors

# Name, elevation and azimuth in degrees, zoom that fills the panel.
# matplotlib's axes are here (x right, z away from the camera, y up).
VIEWS = (
    ("front (camera's view)", 0, -90, 1.45),
    ("side (camera on the left)", 0, 0, 1.45),
    ("oblique", 25, -50, 0.95),
)


def render_views(
    joints_mm: ArrayLike,
    valid: ArrayLike,
    skeleton: Skeleton,
    title: str = "",
    unit_xy: str = "mm",
) -> NDArray[np.uint8]:
    """Draw joints from the front, the side and obliquely; all axes have one scale.

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
    joints = _to_plot_axes(joints_mm)
    low, high = joints[shown].min(axis=0) - 10, joints[shown].max(axis=0) + 10
    figure = Figure(figsize=(13.5, 5), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title)
    for number, (name, elevation, azimuth, zoom) in enumerate(VIEWS):
        axes = figure.add_subplot(1, len(VIEWS), number + 1, projection="3d", proj_type="ortho")
        _draw(axes, joints, shown, skeleton)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), title=name)
        axes.set_box_aspect(high - low, zoom=zoom)
        axes.view_init(elev=elevation, azim=azimuth)
        _label(axes, elevation, azimuth, unit_xy)
    figure.subplots_adjust(left=0.03, right=0.96, bottom=0.09, top=0.86, wspace=0.12)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _to_plot_axes(joints_mm: ArrayLike) -> Array:
    joints = np.asarray(joints_mm, dtype=np.float64)
    return np.stack([joints[:, 0], joints[:, 2], -joints[:, 1]], axis=1)


def _draw(axes, joints: Array, shown: NDArray[np.bool_], skeleton: Skeleton) -> None:
    colors = [tuple(np.array(color) / 300) for color in joint_colors(skeleton)]
    for child, parent in skeleton.bones:
        if shown[child] and shown[parent]:
            axes.plot(*joints[[child, parent]].T, color=colors[child], linewidth=2.5, solid_capstyle="round")
    axes.scatter(*joints[shown].T, c=[colors[j] for j in np.flatnonzero(shown)], s=18, depthshade=False)


def _label(axes, elevation: int, azimuth: int, unit_xy: str) -> None:
    """Name the axes and their units; that which points at the viewer has no ticks: they would be one on another."""
    labels = {"x": f"right (x), {unit_xy}", "y": "away (z), mm", "z": f"up (-y), {unit_xy}"}
    hidden = {(0, -90): "y", (0, 0): "x"}.get((elevation, azimuth))
    for axis, label in labels.items():
        if axis == hidden:
            getattr(axes, f"set_{axis}ticks")([])
        else:
            getattr(axes, f"set_{axis}label")(label)
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=5)
