"""Colour pictures of hands: lamps, shadowed corners, highlights, camera response."""

from dataclasses import dataclass

import cv2
import numpy as np

from dfmamba.geometry import Array
from dfmamba.synthesis.render import Fragments

SUPERSAMPLING = 2
SHININESS_LOG2 = 5  # highlights fall off with the 32nd power of the cosine
# Red light travels further inside skin: its shadows begin later and are lighter between the fingers.
WRAP, BOUNCE = (0.3, 0.16, 0.12), (0.4, 0.05, 0.0)
GAMMA = 2.2


@dataclass(frozen=True)
class Lighting:
    """Lamps far away, in world coordinates.

    Attributes:
        directions: (L, 3) unit vectors to the lamps.
        strengths: (L,) of the lamps.
        ambient: Light from everywhere.
    """

    directions: Array
    strengths: Array
    ambient: float


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """Draw two to five lamps on the upper part of a sphere (world y points down)."""
    count = int(rng.integers(2, 6))
    directions = rng.normal(size=(count, 3)) * np.array([1.0, 0.6, 1.0]) + np.array([0.0, -0.8, 0.0])
    strengths = rng.uniform(0.4, 1.0, count)
    return Lighting(
        directions / np.linalg.norm(directions, axis=1, keepdims=True),
        strengths / strengths.sum() * rng.uniform(0.8, 1.3),
        rng.uniform(0.12, 0.4),
    )


def ambient_occlusion(vertices: Array, normals: Array, ends: Array, radii: Array) -> Array:
    """Return the ambient-occlusion factor (V,), 0 to 1: how much of the sky a vertex sees past capsules.

    Vertices and normals are (V, 3), the capsules' ends (P, 2, 3) and radii (P, 2), in mm.

    A ball of radius r at distance d in direction w darkens a patch with normal n by about max(0, n.w) (r / d)^2; each
    capsule counts as the ball at the point of its axis nearest to the vertex.
    """
    sky = np.ones(len(vertices), dtype=np.float32)
    points, normals = vertices.astype(np.float32), normals.astype(np.float32)
    for end, radius in zip(ends.astype(np.float32), radii.astype(np.float32), strict=True):
        axis = end[1] - end[0]
        along = np.clip((points - end[0]) @ axis / max(axis @ axis, 1e-6), 0, 1)
        way = end[0] + along[:, None] * axis - points
        square = np.einsum("vi,vi->v", way, way)
        size = radius[0] + along * (radius[1] - radius[0])
        facing = np.einsum("vi,vi->v", way, normals) / np.sqrt(np.maximum(square, 1e-6))
        sky *= 1 - np.clip(facing, 0, 1) * np.minimum(size * size / np.maximum(square, 1e-6), 1)
    return sky


def shade(
    points: Array, normals: Array, sky: Array, albedo: Array, gloss: Array, lighting: Lighting, eye: Array
) -> Array:
    """Return the linear RGB (n, 3) of points on the skin.

    Args:
        points: (n, 3) mm, in the world.
        normals: (n, 3) outward normals of about unit length.
        sky: (n,) see `ambient_occlusion`.
        albedo: (n, 3) linear RGB.
        gloss: (n,) strength of the highlights.
        lighting: The lamps.
        eye: (3,) the camera's center in the world.
    """
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    view = eye.astype(points.dtype) - points
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    directions, strengths = (values.astype(points.dtype) for values in (lighting.directions, lighting.strengths))
    lamp = normals @ directions.T  # (n, L) cosines
    facing = (normals * view).sum(axis=1)
    half = (lamp + facing[:, None]) / np.sqrt(np.maximum(2 + 2 * view @ directions.T, 1e-3))
    highlight = np.clip(half, 0.1, 1)  # not 0: tiny powers would be denormal numbers, which are slow
    for _ in range(SHININESS_LOG2):
        highlight *= highlight
    rim = 1 - np.clip(facing, 0, 1)
    shine = gloss * sky * (highlight @ strengths + 0.5 * lighting.ambient * rim * rim * rim)

    brighter = np.sqrt(sky) - sky
    colour = np.empty_like(albedo)
    for channel, (wrap, bounce) in enumerate(zip(WRAP, BOUNCE, strict=True)):
        direct = np.clip((lamp + wrap) / (1 + wrap), 0, None) @ strengths
        shadow = sky + bounce * brighter
        light = direct * (0.3 + 0.7 * shadow) + lighting.ambient * shadow
        colour[:, channel] = albedo[:, channel] * light + shine
    return colour


def compose(background: Array, fragments: Fragments, colour: Array, corner: tuple[int, int]) -> Array:
    """Lay the shaded pixels of a supersampled window over a background, in place; return the background.

    Args:
        background: (H, W, 3) linear RGB.
        fragments: Of the window, `SUPERSAMPLING` times as fine as the background.
        colour: (n, 3) linear RGB of the covered pixels.
        corner: Row and column of the window's first pixel in the background.
    """
    covered = fragments.covered
    layer = np.zeros((*covered.shape, 4), dtype=np.float32)
    layer[covered, :3] = colour
    layer[covered, 3] = 1
    size = (covered.shape[1] // SUPERSAMPLING, covered.shape[0] // SUPERSAMPLING)
    layer = cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
    window = background[corner[0] : corner[0] + size[1], corner[1] : corner[1] + size[0]]
    window *= 1 - layer[..., 3:]
    window += layer[..., :3]
    return background


def apply_camera_response(
    image: Array, exposure: float, tint: Array, grey: bool, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Turn linear RGB (H, W, 3) into an 8-bit BGR image: exposure, tint, gamma and noise of a camera.

    Args:
        image: Linear RGB.
        exposure: Factor on the light.
        tint: (3,) factor for each channel.
        grey: A monochrome camera: three equal channels.
        noise: Standard deviation in 8-bit steps.
        rng: Source of the noise.
    """
    light = np.clip(image * (exposure * tint), 0, 1).astype(np.float32)
    if grey:
        light = light @ np.array([[0.3], [0.5], [0.2]], dtype=np.float32)
    grain = rng.normal(0, noise, light.shape).astype(np.float32)
    picture = np.clip(cv2.pow(light, 1 / GAMMA).reshape(light.shape) * 255 + 3 + grain, 0, 255)
    return np.ascontiguousarray(np.broadcast_to(np.rint(picture)[..., ::-1], image.shape).astype(np.uint8))
