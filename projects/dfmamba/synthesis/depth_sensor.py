"""Depth images as a sensor would see them: true depth in, noisy depth with holes out.

Depth cameras that triangulate measure a disparity, which goes with 1 / depth. Noise and steps are even in 1 / depth, so
in depth they grow with the distance squared.
"""

from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array

NO_READING = 0


@dataclass(frozen=True)
class DepthSensor:
    """How a depth camera errs.

    Attributes:
        noise_per_mm: Standard deviation of 1 / depth, in 1 / mm; at depth z this is `noise_per_mm` z^2 mm.
        step_per_mm: Step of 1 / depth, in 1 / mm.
        jitter_px: Standard deviation of the place where a pixel looks; it makes edges ragged.
        baseline_mm: From the camera to the projector (or to the second camera) on its right. What the projector does
            not reach has no reading: a shadow on the left of everything near. 0 for none.
        steepest_deg: Largest angle between the line of sight and the normal of a surface that is seen well.
        steep_dropout: Share of the steeper pixels, edges among them, that have no reading.
        dropout: Share of all other pixels that have none.
        range_mm: Nearest and farthest reading.
    """

    noise_per_mm: float
    step_per_mm: float
    jitter_px: float
    baseline_mm: float
    steepest_deg: float
    steep_dropout: float
    dropout: float
    range_mm: tuple[float, float]


# Noise and step: calibration by Khoshelham and Elberink (Sensors 12, 2012): 1.4 mm and 2.8 mm at 1 m. Baseline: the
# distance of the device's projector and camera. The angle lies where Nguyen et al. (3DIMPVT 2012) find the noise to
# soar. The rest is chosen by eye.
KINECT = DepthSensor(
    noise_per_mm=1.43e-6,
    step_per_mm=2.85e-6,
    jitter_px=0.5,
    baseline_mm=75.0,
    steepest_deg=80.0,
    steep_dropout=0.5,
    dropout=0.002,
    range_mm=(400.0, 4000.0),
)
# Baseline: data sheet. Noise: 0.08 px of disparity, the maker's rule of thumb, with a focal length of 617 px; step:
# 1/32 px. The rest is chosen by eye.
REALSENSE_D415 = DepthSensor(
    noise_per_mm=2.4e-6,
    step_per_mm=9.2e-7,
    jitter_px=0.6,
    baseline_mm=55.0,
    steepest_deg=78.0,
    steep_dropout=0.4,
    dropout=0.002,
    range_mm=(310.0, 6000.0),
)


def sense_depth(depth_mm: Array, focal_px: float, sensor: DepthSensor, rng: np.random.Generator) -> np.ndarray:
    """Turn true depth into what a sensor reads.

    Args:
        depth_mm: (H, W) camera z of the visible surface; infinity (or 0) where there is none.
        focal_px: Focal length along the rows.
        sensor: The camera.
        rng: Source of the errors.

    Returns:
        (H, W) uint16 in mm, `NO_READING` in holes.
    """
    # 0 where there is no surface
    inverse = np.divide(1.0, depth_mm, out=np.zeros(depth_mm.shape), where=depth_mm > 0)
    hole = shadow(inverse, focal_px, sensor.baseline_mm)
    steep = is_steep(inverse, focal_px, sensor.steepest_deg)
    hole |= rng.random(inverse.shape) < np.where(steep, sensor.steep_dropout, sensor.dropout)
    inverse, hole = _jittered((inverse, hole), sensor.jitter_px, rng)
    measured = inverse + rng.normal(0, sensor.noise_per_mm, inverse.shape)
    measured = np.rint(measured / sensor.step_per_mm) * sensor.step_per_mm
    nearest, farthest = sensor.range_mm
    seen = ~hole & (inverse > 0) & (measured >= 1 / farthest) & (measured <= 1 / nearest)
    return np.where(seen, np.rint(1 / np.where(seen, measured, 1.0)), NO_READING).astype(np.uint16)


def shadow(inverse_depth: Array, focal_px: float, baseline_mm: float) -> np.ndarray:
    """Return the pixels (H, W) bool that a projector on the camera's right does not reach, given 1 / depth in 1 / mm.

    The projector sees the point of column u in its own column p = u - f b / z. A point is in the shadow of one further
    to the right whose p is smaller; half a pixel is granted.
    """
    column = np.arange(inverse_depth.shape[1]) - focal_px * baseline_mm * inverse_depth
    to_the_right = np.full_like(column, np.inf)
    to_the_right[:, :-1] = np.minimum.accumulate(column[:, :0:-1], axis=1)[:, ::-1]
    return column > to_the_right + 0.5


def is_steep(inverse_depth: Array, focal_px: float, steepest_deg: float) -> np.ndarray:
    """Return the pixels (H, W) bool whose surface is turned away too far, or that lie at an edge.

    From one pixel to the next, z / f mm apart, a surface seen at an angle a changes its depth by tan(a) z / f; then
    log(1 / z) changes by tan(a) / f, whatever the depth.
    """
    log_inverse = np.log(np.maximum(inverse_depth, 1e-12))
    limit = np.tan(np.radians(steepest_deg)) / focal_px
    steep = np.zeros(inverse_depth.shape, dtype=bool)
    down, across = (np.abs(np.diff(log_inverse, axis=axis)) > limit for axis in (0, 1))
    steep[1:] |= down
    steep[:-1] |= down
    steep[:, 1:] |= across
    steep[:, :-1] |= across
    return steep


def _jittered(images: tuple[np.ndarray, ...], sigma_px: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Let every pixel of some images (H, W) look at a place nearby, the same in all of them."""
    height, width = images[0].shape
    offset = np.rint(rng.normal(0, sigma_px, (2, height, width))).astype(int)
    row = np.clip(np.arange(height)[:, None] + offset[0], 0, height - 1)
    column = np.clip(np.arange(width) + offset[1], 0, width - 1)
    return [image[row, column] for image in images]
