"""Pictures behind the hands: a dark light stage, plain gradients, clutter."""

import cv2
import numpy as np

KINDS = ("stage", "gradient", "clutter")
SHARES = (0.6, 0.15, 0.25)


def sample_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a background (height, width, 3), float32 linear RGB in 0..1."""
    kind = rng.choice(KINDS, p=SHARES)
    image = {"stage": _stage, "gradient": _gradient, "clutter": _clutter}[str(kind)](size, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def _gradient(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Blend four random corner colours."""
    corners = _dull(rng.uniform(0.0, 0.6, (2, 2, 3)) ** 1.5, rng)
    return cv2.resize(corners, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def _dull(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mix colours (..., 3) with their own grey: rooms are seldom as bright as random numbers."""
    return colours + rng.uniform(0.2, 1.0) * (colours.mean(axis=-1, keepdims=True) - colours)


def _noise(size: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise (height, width) in 0..1 with about this number of bumps along a side."""
    return cv2.resize(rng.random((cells, cells)), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def _clutter(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Scatter boxes, discs and lines over coloured noise, slightly out of focus."""
    height, width = size
    image = np.stack([_noise(size, int(rng.integers(3, 9)), rng) for _ in range(3)], axis=-1)
    image = _dull(image, rng) * rng.uniform(0.1, 0.5)
    for _ in range(int(rng.integers(8, 30))):
        colour = _dull(rng.uniform(0, 0.7, 3) ** 1.5, rng).tolist()
        center = rng.uniform(0, 1, 2) * (width, height)
        extent = rng.uniform(8, 90, 2)
        shape = rng.integers(3)
        if shape == 0:
            box = cv2.boxPoints((center.tolist(), extent.tolist(), float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
        elif shape == 1:
            cv2.ellipse(
                image,
                center.astype(int).tolist(),
                (extent / 2).astype(int).tolist(),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                -1,
                cv2.LINE_AA,
            )
        else:
            end = center + rng.normal(0, 120, 2)
            cv2.line(
                image,
                center.astype(int).tolist(),
                end.astype(int).tolist(),
                colour,
                int(rng.integers(1, 12)),
                cv2.LINE_AA,
            )
    return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 3.0)))


def _stage(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw near-black space with star-like lamps and, mostly, a person's dimly lit, checked clothes."""
    image = np.full((*size, 3), 0.0003) + 0.001 * _noise(size, 4, rng)[..., None]
    if rng.random() < 0.75:
        image += _torso(size, rng)
    glow = np.zeros((*size, 3))
    for _ in range(int(rng.integers(0, 12))):
        _add_lamp(glow, rng.uniform(0, 1, 2) * (size[1], size[0]), rng)
    return image + glow


def _add_lamp(glow: np.ndarray, center: np.ndarray, rng: np.random.Generator) -> None:
    """Add one lamp with its rays and halo to an image, in place."""
    radius = rng.uniform(3, 8)
    reach = int(7 * radius)
    x0, y0 = np.maximum(center.astype(int) - reach, 0)
    patch = glow[y0 : int(center[1]) + reach, x0 : int(center[0]) + reach]
    y, x = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]] - center[::-1, None, None]
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    rays = 0.12 * np.abs(np.cos(4 * angle + rng.uniform(0, 3))) ** 20 * np.exp(-distance / (2 * radius))
    halo = 0.06 * np.exp(-distance / radius)
    disc = 1.5 * np.clip(radius - distance + 0.5, 0, 1)
    fade = np.clip(1.2 - distance / reach, 0, 1)
    patch += ((rays + halo) * fade + disc)[..., None] * rng.uniform(0.8, 1.0, 3)


def _torso(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a clothed body (height, width, 3) that fills a part of the picture."""
    height, width = size
    center, half = rng.uniform(0.1, 0.9) * width, rng.uniform(80, 200)
    lean = rng.normal(0, 0.08, 2)
    top = rng.uniform(-0.2, 0.2) * height
    outline = np.array(
        [
            [center - 0.45 * half, top - 60],
            [center + 0.45 * half, top - 60],
            [center + half, top + 0.25 * height],
            [center + half * (0.95 + lean[0]), height + 10],
            [center - half * (0.95 + lean[1]), height + 10],
            [center - half, top + 0.25 * height],
        ]
    )
    mask: np.ndarray = np.zeros(size)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 1.0, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5)
    cloth = rng.uniform(0.01, 0.16) * rng.uniform(0.5, 1.0, 3)
    shade = 0.5 + 0.7 * _noise(size, 5, rng)
    if rng.random() < 0.5:
        y, x = np.mgrid[:height, :width] / rng.uniform(12, 40)
        warp = 0.6 * _noise(size, 4, rng)
        for line in (x + warp, y + warp):
            shade = shade * np.where((line % 1) < rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.8), 1.0)
    return (mask * shade)[..., None] * cloth
