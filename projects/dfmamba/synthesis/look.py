"""How the skin looks: tone, nails, creases and a sleeve, all as functions of the place on the hand at rest."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.capsules import FINGER_RADII_MM
from dfmamba.synthesis.hand import BONE, SEGMENTS
from dfmamba.synthesis.ornaments import Ornaments, with_ornaments
from dfmamba.synthesis.surface import PARTS, HandSurface

# Linear RGB from pale to dark; other tones lie between neighbours.
SKIN_TONES = np.array(
    [[0.72, 0.47, 0.36], [0.62, 0.38, 0.26], [0.48, 0.27, 0.17], [0.31, 0.16, 0.095], [0.16, 0.08, 0.05]]
)
_WAVES = 24  # sine waves that make up the mottling of the skin
CHART_PX, CHART_MM = 3, 140  # resolution and extent of the chart of the palm's lines
CHART_ORIGIN_MM = np.array([70, 20])  # place of the wrist on it


@dataclass(frozen=True)
class Look:
    """The appearance of one subject.

    Attributes:
        skin: (3,) linear RGB.
        ruddiness: Strength of the red at knuckles, palm and fingertips.
        gloss: Strength of the skin's highlights.
        sleeve_mm: Where the sleeve begins, from the wrist down the forearm.
        sleeve: (2, 3) two linear RGB of the cloth's stripes.
        stripe_mm: Width of one stripe.
        waves: (waves, 5) random directions (3), phases and strengths of the mottling.
        ornaments: What is on the skin; None for nothing.
    """

    skin: Array
    ruddiness: float
    gloss: float
    sleeve_mm: float
    sleeve: Array
    stripe_mm: float
    waves: Array
    ornaments: Ornaments | None = None


def sample_look(rng: np.random.Generator) -> Look:
    """Draw the appearance of a new subject."""
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    skin = np.array([np.interp(tone, np.arange(len(SKIN_TONES)), SKIN_TONES[:, c]) for c in range(3)])
    directions = rng.normal(size=(_WAVES, 3))
    frequency = np.geomspace(0.03, 0.9, _WAVES)[:, None]
    waves = np.concatenate(
        [
            directions / np.linalg.norm(directions, axis=1, keepdims=True) * frequency,
            rng.uniform(0, 2 * np.pi, (_WAVES, 1)),
            rng.uniform(0.3, 1.0, (_WAVES, 1)) / _WAVES**0.5,
        ],
        axis=1,
    )
    cloth = rng.uniform(0.01, 0.35, 3) ** 1.3
    return Look(
        skin * rng.uniform(0.92, 1.08, 3),
        rng.uniform(0.5, 1.3),
        rng.uniform(0.06, 0.2),
        rng.uniform(60, 260),
        np.stack([cloth, cloth * rng.uniform(0.4, 1.6)]),
        rng.uniform(4, 15),
        waves,
    )


def vertex_looks(surface: HandSurface, look: Look) -> Array:
    """Return what varies slowly over the skin (V, 2): mottling, about -1 to 1, and 1 on the palm side, 0 behind."""
    points = surface.vertices_mm
    mottling = np.sin(points @ look.waves[:, :3].T + look.waves[:, 3]) @ look.waves[:, 4]
    palm_side = _step(points[:, 2], 4.0, 8.0)
    for finger, name in enumerate(FINGERS):
        for segment in range(1, SEGMENTS + 1):
            if finger == 0 and segment == 1:
                continue  # the ball of the thumb is palm
            own = np.flatnonzero(surface.parts == PARTS.index(f"{name}{segment}"))
            palm_side[own] = _step(_local(surface, points[own], f"{name}{segment}")[:, 2], 1.0, 3.0)
    return np.stack([mottling, palm_side], axis=1)


def _local(surface: HandSurface, points: Array, bone: str) -> Array:
    """Return places (n, 3) on the hand at rest in the frame of one bone."""
    rest, number = surface.rest, BONE[bone]
    return (points - rest.origins_mm[number].astype(points.dtype)) @ rest.rotations[number].astype(points.dtype)


def skin_colour(surface: HandSurface, look: Look, points: Array, part: np.ndarray, slow: Array) -> tuple[Array, Array]:
    """Return the linear RGB (n, 3) and the gloss (n,) of places on the hand at rest.

    Args:
        surface: The subject's skin.
        look: The subject's appearance.
        points: (n, 3) in mm.
        part: (n,) the places' parts, index into `surface.PARTS`.
        slow: (n, 2) interpolated `vertex_looks`.
    """
    mottling, palm_side = slow.T
    red = 0.25 * mottling
    dark = 0.05 * np.sin(points[:, 0] * 0.31 + 3 * mottling)
    nail, white = np.zeros_like(red), np.zeros_like(red)
    first_segments: list[tuple] = []
    for finger, name in enumerate(FINGERS):
        for segment in range(1, SEGMENTS + 1):
            own = np.flatnonzero(part == PARTS.index(f"{name}{segment}"))
            local = _local(surface, points[own], f"{name}{segment}")
            length = surface.shape.segments_mm[finger, segment - 1]
            radius = FINGER_RADII_MM[finger, segment - 1] * surface.shape.girth
            _add_creases(local, own, segment, finger, length, radius, red, dark)
            if segment == 1:
                first_segments.append((own, local[:, 1] / length, length))
            if segment == SEGMENTS:
                nail[own], white[own] = _nail(local, length, radius)
                red[own] += 0.5 * _step(local[:, 1], 0.7 * length, 0.35 * length)
    palm = np.flatnonzero(((part == PARTS.index("palm")) | (part == PARTS.index("thumb1"))) & (palm_side > 0.05))
    dark[palm] += 0.26 * _palm_lines(points[palm] / surface.shape.size) * palm_side[palm]

    ornaments = look.ornaments
    if ornaments is not None:
        dark *= ornaments.creases
    skin = look.skin.astype(points.dtype)
    palm_skin = skin + 0.35 * (skin**0.7 * 0.9 - skin)  # the palm is paler, the more so the darker the skin
    tone = (skin + palm_side[:, None] * (palm_skin - skin)) * (1 - np.clip(dark, -0.2, 0.8))[:, None]
    tint = np.array([0.08, -0.15, -0.12], dtype=points.dtype)
    tone *= np.exp(look.ruddiness * (red + 0.15 * palm_side)[:, None] * tint)
    gloss = look.gloss + 0.35 * nail
    if ornaments is not None and ornaments.varnish is not None:
        tone += nail[:, None] * (ornaments.varnish.astype(points.dtype) - tone)
    else:
        tone += nail[:, None] * (skin**0.8 * np.array([1.02, 0.86, 0.84], dtype=points.dtype) - tone)
        tone += white[:, None] * (np.array([0.72, 0.66, 0.58], dtype=points.dtype) - tone)
    if ornaments is not None:
        tone, gloss = with_ornaments(ornaments, tone, gloss, points, palm_side, first_segments)
    return _with_sleeve(tone, gloss, points, part, look)


def _step(value: Array, middle: float, width: float) -> Array:
    """Return a smooth step from 0 to 1 around `middle`, over `width` to both sides."""
    t = np.clip((value - middle) / (2 * width) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _line(distance: Array, width: float) -> Array:
    return np.exp(-((distance / width) ** 2))


def _add_creases(
    local: Array, own: np.ndarray, segment: int, finger: int, length: float, radius: float, red: Array, dark: Array
) -> None:
    """Add the folds at the lower end of one finger segment: on the palm side a double line, on the back wrinkles."""
    x, y, z = local.T
    palm_side, back = _step(z, 0.1 * radius, 0.5 * radius), _step(-z, 0.2 * radius, 0.4 * radius)
    if segment == 1:
        base = 0.5 * length if finger else 0.25 * length
        dark[own] += 0.4 * palm_side * _line(y - base, 1.0)
        red[own] += 0.5 * back * _line(y, 9.0)
        return
    bend = 0.02 * x * x
    for place in (-1.2, 1.4):
        dark[own] += 0.35 * palm_side * _line(y - place - bend, 0.7)
    for place in (-3.2, -1.2, 0.9, 3.0):
        dark[own] += 0.22 * back * _line(y - place - np.sign(place) * bend, 0.6) * _line(x, 0.8 * radius)
    # The end of the segment carries half of the next joint's wrinkles.
    for place in (-3.4, -1.4):
        dark[own] += 0.2 * back * _line(y - length - place, 0.6) * (segment < SEGMENTS)
    red[own] += 0.8 * back * (_line(y, 6.0) + (segment < SEGMENTS) * _line(y - length, 6.0))


def _nail(local: Array, length: float, radius: float) -> tuple[Array, Array]:
    """Return where the nail (n,) and its white edge (n,) are, 0 to 1."""
    half_width, half_length = 0.66 * radius, 0.27 * length
    center = 0.74 * length
    x, y, z = local.T
    form = np.abs(x / half_width) ** 3 + np.abs((y - center) / half_length) ** 3
    on_back = _step(-z, 0.15 * radius, 0.15 * radius)
    nail = _step(1 - form, 0.0, 0.18) * on_back
    white = nail * _step(y, center + 0.86 * half_length, 0.8)
    moon = nail * _line(np.hypot(x, 1.4 * (y - center + half_length)), 0.45 * half_width) * 0.35
    return nail * 0.85, np.maximum(white * 0.6, moon)


@lru_cache(maxsize=1)
def _palm_chart() -> np.ndarray:
    """Return the strength of the palm's three main lines on a chart of the mean hand, CHART_PX pixels a mm."""
    curves = (
        ((26, 66), (12, 58), (3, 42), (0, 26), (3, 12)),  # around the ball of the thumb
        ((27, 66), (8, 60), (-14, 50), (-30, 38)),
        ((-48, 62), (-30, 64), (-12, 70), (4, 78), (10, 86)),
    )
    chart = np.zeros((CHART_PX * CHART_MM, CHART_PX * CHART_MM), dtype=np.float32)
    for curve in curves:
        knots = (np.array(curve) + CHART_ORIGIN_MM) * CHART_PX
        cv2.polylines(chart, [knots.astype(np.int32)], False, 1.0, CHART_PX, cv2.LINE_AA)
    return cv2.GaussianBlur(chart, (0, 0), 0.8 * CHART_PX) * 1.6


def _palm_lines(points: Array) -> Array:
    """Return the strength (n,) of the palm's lines at points (n, 3) in mm of a mean hand."""
    column, row = ((points[:, :2] + CHART_ORIGIN_MM) * CHART_PX).astype(int).clip(0, CHART_PX * CHART_MM - 1).T
    return _palm_chart()[row, column]


def _with_sleeve(tone: Array, gloss: Array, points: Array, part: np.ndarray, look: Look) -> tuple[Array, Array]:
    """Put the cloth over the forearm."""
    cloth = _step(-points[:, 1], look.sleeve_mm, 0.6) * (part == PARTS.index("forearm"))
    tone = tone * (1 - 0.5 * _line(points[:, 1] + look.sleeve_mm, 2.5))[:, None]  # the cuff's shadow
    stripe = (np.floor(points[:, 1] / look.stripe_mm) % 2).astype(int)
    tone = tone + cloth[:, None] * (look.sleeve.astype(tone.dtype)[stripe] - tone)
    return tone, gloss * (1 - cloth)
