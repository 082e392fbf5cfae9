"""A table in a room, as the background of a picture and of a depth image: found by casting one ray for each pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

from dfmamba.geometry import Array, back_project
from dfmamba.synthesis.scene import Camera, Scene
from dfmamba.synthesis.shading import ambient_occlusion

FLOOR_BELOW_MM = 750.0
COARSE = 8  # soft shadows are computed on every eighth row and column
_UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Table:
    """A rectangular table top above a floor; the world's y points down.

    Attributes:
        center_mm: (3,) the middle of the top.
        half_mm: (2,) half its extents along the world's x and z.
        colours: (3, 3) linear RGB: the top, the top's grain, the floor.
        waves: (n, 4) the grain: two frequencies in 1/mm, phase, strength.
        light: Strength of the light on it.
    """

    center_mm: Array
    half_mm: Array
    colours: Array
    waves: Array
    light: float


def sample_table(center_mm: Array, half_mm: tuple[float, float], rng: np.random.Generator) -> Table:
    """Draw the looks of a table: cloth, plastic or something like wood, seldom very colourful."""
    grey = rng.uniform(0.03, 0.5, (3, 1))
    colours = grey * (1 + rng.uniform(-0.25, 0.25, (3, 3)))
    colours[1] = colours[0] * rng.uniform(0.6, 1.3)
    count = 12
    frequency = np.geomspace(0.005, 0.4, count)[:, None] * rng.normal(0, 1, (count, 2)) * [1.0, rng.uniform(0.05, 1)]
    phase, strength = rng.uniform(0, 2 * np.pi, (count, 1)), rng.uniform(0.1, 0.5, (count, 1))
    waves = np.concatenate([frequency, phase, strength], axis=1)
    return Table(np.asarray(center_mm, dtype=np.float64), np.array(half_mm), colours, waves, rng.uniform(0.6, 1.1))


def draw_table(table: Table, camera: Camera, scene: Scene) -> tuple[Array, Array]:
    """Return what a camera sees of table and floor, with the soft shadows of a scene's hands and objects.

    Returns:
        (H, W, 3) float32 linear RGB, and the camera z (H, W) in mm, infinity where neither table nor floor is.
    """
    height, width = camera.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    # A point at depth 1 on the pixel's ray, seen from the camera's center in the world's directions.
    rays = back_project(pixels, np.ones(camera.size), camera.focal_px, camera.principal_point_px) @ camera.rotation
    top, on_top = _meet(rays, camera.center_mm, table.center_mm[1])
    on_top &= np.abs(camera.center_mm[0] + top * rays[..., 0] - table.center_mm[0]) <= table.half_mm[0]
    on_top &= np.abs(camera.center_mm[2] + top * rays[..., 2] - table.center_mm[2]) <= table.half_mm[1]
    floor, on_floor = _meet(rays, camera.center_mm, table.center_mm[1] + FLOOR_BELOW_MM)
    depth = np.where(on_top, top, np.where(on_floor, floor, np.inf))
    places = camera.center_mm + np.where(np.isfinite(depth), depth, 0.0)[..., None] * rays

    colour = table.colours[2] * np.exp(-np.minimum(depth, 9e3) / 2500)[..., None]
    colour[on_top] = _grain(table, places[on_top]) * _light_on(places, scene)[on_top, None]
    return (table.light * colour).astype(np.float32), depth


def _grain(table: Table, places: Array) -> Array:
    """Return the linear RGB (n, 3) of places (n, 3) on a table's top."""
    x, z = places[:, 0].astype(np.float32), places[:, 2].astype(np.float32)
    grain = sum(strength * np.sin(x * u + z * v + phase) for u, v, phase, strength in table.waves.astype(np.float32))
    share = np.clip(0.5 + 0.3 * grain, 0, 1)[:, None]
    return table.colours[0] + share * (table.colours[1] - table.colours[0])


def _meet(rays: Array, center: Array, height_mm: float) -> tuple[Array, np.ndarray]:
    """Return the depth (H, W) where rays from a center meet a level plane, and whether they do so in front."""
    falling = np.where(rays[..., 1] > 1e-6, rays[..., 1], 1e-6)
    depth = (height_mm - center[1]) / falling
    return depth, (rays[..., 1] > 1e-6) & (depth > 0) & (depth < 1e5)


def _light_on(places: Array, scene: Scene) -> Array:
    """Return the light (H, W), 0 to 1, on level places (H, W, 3) under a scene's hands and objects."""
    height, width = places.shape[:2]
    coarse = np.ascontiguousarray(places[::COARSE, ::COARSE])
    flat = coarse.reshape(-1, 3)
    light = ambient_occlusion(flat, np.broadcast_to(_UP, flat.shape), scene.ends_mm, scene.radii_mm)
    light = 0.15 + 0.85 * light.reshape(coarse.shape[:2])
    rows, columns = np.arange(height) / COARSE, np.arange(width) / COARSE
    grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    image = cv2.remap(light.astype(np.float32), *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return image.astype(np.float64)
