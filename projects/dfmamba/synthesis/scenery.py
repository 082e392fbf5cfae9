"""Pictures behind the hands as photographs have them: table tops, rooms, people, gardens, screens, clutter."""

from collections.abc import Callable

import cv2
import numpy as np

from dfmamba.synthesis.background import sample_background
from dfmamba.synthesis.look import SKIN_TONES


def sample_scenery(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a background (height, width, 3), float32 linear RGB in 0..1; sometimes with skin in it that is no hand."""
    kinds: tuple[Callable[..., np.ndarray], ...] = (_table_top, _room, _garden, _screen, sample_background)
    image = kinds[int(rng.choice(len(kinds), p=(0.3, 0.3, 0.15, 0.1, 0.15)))](size, rng)
    if rng.random() < 0.35:
        _add_person(image, rng)
    if rng.random() < 0.25:
        _add_limbs(image, rng)
    if rng.random() < 0.7:  # the hands are in focus, not what is behind them
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.025 * min(size))))
    return np.clip(image, 0, 1).astype(np.float32)


def fractal_noise(
    size: tuple[int, int], rng: np.random.Generator, cells: tuple[float, float], rough: float
) -> np.ndarray:
    """Return noise (height, width) of mean 0 and deviation 1 with bumps on all scales.

    Args:
        size: Height and width.
        rng: Source of randomness.
        cells: Bumps along the height and along the width on the coarsest scale.
        rough: Strength of each scale against the coarser one before it.
    """
    total: np.ndarray = np.zeros(size, dtype=np.float32)
    strength = 1.0
    for octave in range(5):
        shape = [min(max(2, round(count * 2**octave)), side) for count, side in zip(cells, size, strict=True)]
        bumps = rng.standard_normal(shape, dtype=np.float32)
        total += strength * cv2.resize(bumps, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        strength *= rough
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def _colour(rng: np.random.Generator, brightest: float = 0.8) -> np.ndarray:
    """Return a dull colour (3,) in linear RGB: rooms are seldom as bright as random numbers."""
    colour = rng.uniform(0, 1, 3) ** 1.5
    grey = colour.mean()
    return ((colour + rng.uniform(0.2, 1.0) * (grey - colour)) * rng.uniform(0.15, brightest)).astype(np.float32)


def _table_top(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw wood, cloth, tiles or a plain top, lit from one side, with things lying on it."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    kind, ground = rng.integers(4), _colour(rng)
    if kind == 0:  # wood: long grain, brown
        ground = np.array([0.42, 0.22, 0.1], dtype=np.float32) * np.float32(rng.uniform(0.2, 1.5))
        grain = fractal_noise(size, rng, (2, 2), 0.6)
        value = 0.18 * np.sin(v * rng.uniform(0.15, 0.6) + 2.5 * grain) + 0.08 * fractal_noise(size, rng, (60, 4), 0.7)
    elif kind == 1:  # cloth: a check, folds
        pitch = rng.uniform(4, 40)
        value = 0.25 * (np.sign(np.sin(u * 2 * np.pi / pitch)) + np.sign(np.sin(v * 2 * np.pi / pitch)))
        value = value * rng.uniform(0, 1) + 0.15 * fractal_noise(size, rng, (3, 3), 0.5)
    elif kind == 2:  # tiles: joints between them
        pitch, joint = rng.uniform(25, 90), rng.uniform(1, 4)
        line = (np.mod(u, pitch) < joint) | (np.mod(v, pitch) < joint)
        value = np.where(line, rng.uniform(-0.7, 0.7), 0.06 * fractal_noise(size, rng, (5, 5), 0.7))
    else:
        value = rng.uniform(0.02, 0.15) * fractal_noise(size, rng, (4, 4), 0.8)
    image = ground * (1 + value[..., None])
    light = 1 + rng.uniform(0, 0.5) * ((u - u.mean()) / max(size))
    image = image * light[..., None]
    for _ in range(int(rng.integers(0, 6))):
        _add_thing(image, rng)
    return image.astype(np.float32)


def _add_thing(image: np.ndarray, rng: np.random.Generator) -> None:
    """Lay a box or a disc with its shadow on an image, in place."""
    height, width = image.shape[:2]
    center, extent = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.04, 0.4, 2) * min(height, width)
    turn, shadow = float(rng.uniform(0, 180)), rng.uniform(-0.03, 0.03, 2) * min(height, width)
    is_box, colour = rng.random() < 0.6, _colour(rng)
    mask: np.ndarray = np.zeros((height, width), dtype=np.float32)
    for place in (center + shadow, center):
        mask[:] = 0
        if is_box:
            corners = cv2.boxPoints((place.tolist(), extent.tolist(), turn))
            cv2.fillConvexPoly(mask, corners.astype(np.int32), 1.0, cv2.LINE_AA)
        else:
            axes = np.maximum(extent / 2, 1).astype(int).tolist()
            cv2.ellipse(mask, place.astype(int).tolist(), axes, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
        if place is center:
            image += mask[..., None] * (colour - image)
        else:
            image *= 1 - 0.5 * cv2.GaussianBlur(mask, (0, 0), 2.0)[..., None]


def _room(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a wall, a floor, and rectangles on the wall: windows, shelves, pictures, books."""
    height, width = size
    horizon = int(rng.uniform(0.4, 1.2) * height)
    image: np.ndarray = np.empty((height, width, 3), dtype=np.float32)
    image[:] = _colour(rng, 1.0)
    image[horizon:] = _colour(rng)
    image *= 1 + 0.05 * fractal_noise(size, rng, (4, 4), 0.6)[..., None]
    lean = rng.uniform(-0.25, 0.25)
    for _ in range(int(rng.integers(2, 14))):
        x, y = rng.uniform(-0.2, 1, 2) * (width, height)
        w, h = rng.uniform(0.03, 0.5, 2) * (width, height)
        corners = np.array([[x, y], [x + w, y + lean * w], [x + w, y + h + lean * w], [x, y + h]])
        bright = rng.uniform(1.0, 3.0) if rng.random() < 0.15 else 1.0  # a window
        cv2.fillConvexPoly(image, corners.astype(np.int32), (_colour(rng) * bright).tolist(), cv2.LINE_AA)
    light = np.linspace(rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.2), width, dtype=np.float32)
    return image * light[:, None]


def _garden(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw sky over leaves or sand: rough noise on all scales."""
    height = size[0]
    horizon = rng.uniform(-0.2, 0.9) * height
    ground = np.array([[0.06, 0.16, 0.03], [0.35, 0.27, 0.16], [0.12, 0.1, 0.08], [0.3, 0.32, 0.33]])[rng.integers(4)]
    texture = fractal_noise(size, rng, (4, 4), rng.uniform(0.7, 1.0))
    image = ground.astype(np.float32) * np.exp(0.5 * texture)[..., None]
    above = 1 / (1 + np.exp(np.clip((np.arange(height) - horizon + 3 * texture[:, 0]) / 2, -30, 30)))
    sky = np.array([0.35, 0.55, 0.9]) * rng.uniform(0.3, 1.0) + rng.uniform(0, 0.3)
    return (image + above[:, None, None] * (sky - image)).astype(np.float32)


def _screen(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw lines of text-like marks on paper or on a screen."""
    height, width = size
    paper, ink = _colour(rng, 1.0), _colour(rng, 0.4)
    if rng.random() < 0.4:
        paper, ink = ink, paper
    image: np.ndarray = np.empty((height, width, 3), dtype=np.float32)
    image[:] = paper
    pitch = rng.uniform(6, 24)
    for row in np.arange(rng.uniform(0, pitch), height, pitch):
        x = rng.uniform(0, 0.2) * width
        while x < width * rng.uniform(0.5, 1.0):
            word = rng.uniform(0.3, 3) * pitch
            top, bottom = (x, row), (x + word, row + rng.uniform(0.3, 0.6) * pitch)
            cv2.rectangle(image, [int(k) for k in top], [int(k) for k in bottom], ink.tolist(), -1)
            x += word + 0.4 * pitch
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 25)), float(rng.uniform(1.0, 1.8)))
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)


def _skin(rng: np.random.Generator) -> np.ndarray:
    return SKIN_TONES[rng.integers(len(SKIN_TONES))] * rng.uniform(0.5, 1.3)


def _shaded(image: np.ndarray, mask: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a mask (H, W) in a colour, shaded from one side and mottled, on an image, in place."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    light = 1 + 0.6 * ((x / width - 0.5) * np.cos(turn) + (y / height - 0.5) * np.sin(turn))
    light = light + 0.06 * fractal_noise((height, width), rng, (4, 4), 0.7)
    image += mask[..., None] * (colour.astype(np.float32) * light[..., None] - image)


def _add_person(image: np.ndarray, rng: np.random.Generator) -> None:
    """Put a head with hair and a clothed body behind the hands, in place."""
    height, width = image.shape[:2]
    head = rng.uniform(0.12, 0.35) * height
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(-0.1, 0.5) * height
    mask: np.ndarray = np.zeros((height, width), dtype=np.float32)

    def ellipse(center: tuple[float, float], axes: tuple[float, float], colour: np.ndarray) -> None:
        mask[:] = 0
        points = [round(value) for value in (*center, *axes)]
        cv2.ellipse(mask, points[:2], [max(1, value) for value in points[2:]], 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        _shaded(image, mask, colour, rng)

    skin, hair = _skin(rng), _colour(rng, 0.2)
    ellipse((x, y + 3.2 * head), (1.9 * head, 2.2 * head), _colour(rng))
    ellipse((x, y + 0.9 * head), (0.4 * head, 0.6 * head), 0.8 * skin)
    ellipse((x, y - 0.2 * head), (0.85 * head, 1.0 * head), hair)
    ellipse((x, y + 0.1 * head), (0.7 * head, 0.9 * head), skin)
    for side in (-1, 1):
        ellipse((x + 0.28 * side * head, y), (0.09 * head, 0.05 * head), 0.15 * skin)
    ellipse((x, y + 0.5 * head), (0.2 * head, 0.05 * head), skin * np.array([0.7, 0.4, 0.4]))


def _add_limbs(image: np.ndarray, rng: np.random.Generator) -> None:
    """Put one to three thick strokes of skin behind the hands, in place: arms and fingers that nobody annotated."""
    height, width = image.shape[:2]
    skin = _skin(rng)
    for _ in range(int(rng.integers(1, 4))):
        mask: np.ndarray = np.zeros((height, width), dtype=np.float32)
        start, end = (rng.uniform(-0.1, 1.1, 2) * (width, height) for _ in range(2))
        thick = max(2, int(rng.uniform(0.03, 0.14) * min(height, width)))
        cv2.line(mask, start.astype(int).tolist(), end.astype(int).tolist(), 1.0, thick, cv2.LINE_AA)
        _shaded(image, mask, skin, rng)
