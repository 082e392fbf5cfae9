"""Plausible poses: named families, drawn with noise inside the limits of the joints.

A family says how far each finger is curled (0 straight, 1 a fist), where the thumb goes and how far the fingers are
spread. The joints of one finger bend together, as tendons make them do.
"""

from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.hand import ANGLES, LIMITS_DEG, NUM_ANGLES

# The thumb's flexion, spread, flexion2, flexion3 in degrees.
THUMBS = {
    "out": (-12.0, 0.0, 5.0, 5.0),
    "up": (-24.0, -14.0, 0.0, -8.0),
    "along": (6.0, -12.0, 12.0, 8.0),
    "flatwise": (-4.0, -22.0, 4.0, 0.0),
    "rest": (2.0, 8.0, 14.0, 14.0),
    "opposed": (18.0, 26.0, 19.0, 25.0),
    "across": (27.0, 24.0, 22.0, 26.0),
    "over": (26.0, 12.0, 38.0, 42.0),
    "tucked": (30.0, 4.0, 48.0, 50.0),
}


@dataclass(frozen=True)
class Family:
    """One kind of pose.

    Attributes:
        curl: How far index, middle, ring and pinky are curled, 0 to 1.
        thumb: Key into `THUMBS`.
        spread: How far the fingers are spread: 1 all the way, negative pressed together.
        hooked: Share of the curl that the first joint does not take part in, as in a claw.
        pinch: Finger whose tip the thumb's tip should meet.
    """

    curl: tuple[float, float, float, float]
    thumb: str
    spread: float = 0.2
    hooked: float = 0.0
    pinch: str | None = None


FAMILIES = {
    "open": Family((0.0, 0.0, 0.0, 0.05), "out", 0.9),
    "flat": Family((0.03, 0.02, 0.02, 0.03), "along", 0.0),
    "press": Family((0.02, 0.0, 0.0, 0.02), "flatwise", -0.1),
    "relaxed": Family((0.22, 0.28, 0.34, 0.38), "rest", 0.2),
    "fist": Family((1.0, 1.0, 1.0, 1.0), "over", -0.2),
    "thumbup": Family((0.95, 1.0, 1.0, 1.0), "up", -0.2),
    "point": Family((0.02, 0.9, 0.95, 0.95), "over", 0.0),
    "victory": Family((0.03, 0.03, 0.95, 0.95), "tucked", 0.8),
    "three": Family((0.03, 0.03, 0.05, 0.95), "tucked", 0.5),
    "rock": Family((0.03, 0.95, 0.95, 0.05), "over", 0.3),
    "call": Family((0.95, 0.98, 0.95, 0.05), "up", 0.4),
    "gun": Family((0.02, 0.15, 0.95, 0.95), "up", 0.0),
    "pinch": Family((0.48, 0.55, 0.6, 0.65), "opposed", 0.1, pinch="index"),
    "ok": Family((0.48, 0.2, 0.1, 0.06), "opposed", 0.6, pinch="index"),
    "pinchmiddle": Family((0.3, 0.52, 0.38, 0.3), "across", 0.3, pinch="middle"),
    "claw": Family((0.55, 0.55, 0.55, 0.55), "rest", 0.6, hooked=0.8),
    "grasp": Family((0.42, 0.42, 0.45, 0.48), "opposed", 0.3),
    "cup": Family((0.3, 0.32, 0.34, 0.36), "along", -0.3),
    "free": Family((0.4, 0.4, 0.4, 0.4), "rest", 0.4),
    "mixed": Family((0.5, 0.5, 0.5, 0.5), "opposed", 0.2),
}
FREE_FAMILIES = ("free", "mixed")  # every finger is drawn for itself; the curls and the thumb above do not count
FULL_CURL_DEG = np.array([82.0, 102.0, 62.0])


def neutral_angles(angles_deg: Array) -> Array:
    """Return (..., 23) degrees: the fingers straight and apart, wrist and palm as given; nothing touches."""
    neutral = np.array(angles_deg, dtype=np.float64)
    neutral[..., : 4 * len(FINGERS)] = 0.0
    neutral[..., :4] = THUMBS["out"]
    for finger in FINGERS[1:]:
        neutral[..., ANGLES.index(f"{finger}_spread")] = 5.0
    return neutral


def sample_angles(family: str, rng: np.random.Generator, count: int) -> Array:
    """Draw poses of one family.

    Args:
        family: Key into `FAMILIES`.
        rng: Source of randomness.
        count: How many poses.

    Returns:
        (count, 23) angles in degrees within `LIMITS_DEG`. Fingers may still pass through each other: see `contact`.

    Raises:
        ValueError: There is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    kind = FAMILIES[family]
    angles = np.zeros((count, NUM_ANGLES))
    free = family in FREE_FAMILIES
    hand_noise = rng.normal(0, 0.05, count)
    for index, finger in enumerate(FINGERS[1:]):
        curl = kind.curl[index] + hand_noise + rng.normal(0, 0.06, count)
        if free:
            curl = rng.beta(0.8, 1.0, count)
        first = 4 * (index + 1)
        shares = np.array([1 - kind.hooked, 1.0, 1.0])
        flexion = np.clip(curl, -0.1, 1.05)[:, None] * FULL_CURL_DEG * shares + rng.normal(0, 5.0, (count, 3))
        angles[:, [first, first + 2, first + 3]] = flexion
        widest = LIMITS_DEG[ANGLES.index(f"{finger}_spread"), 1]
        # A bent finger cannot be spread: its side ligaments are tight.
        spread = kind.spread * widest * (1 - 0.8 * np.clip(curl, 0, 1))
        angles[:, first + 1] = spread + rng.normal(0, 2.0, count)
    thumbs = list(THUMBS) if free else [kind.thumb]
    angles[:, :4] = [THUMBS[thumbs[k]] for k in rng.integers(len(thumbs), size=count)]
    angles[:, :4] += rng.normal(0, 8.0 if kind.pinch else 5.0, (count, 4))
    angles[:, -3] = rng.normal(-8, 14, count)
    angles[:, -2] = rng.normal(3, 8, count)
    mean_curl = np.clip(angles[:, [4, 8, 12, 16]].mean(axis=1) / FULL_CURL_DEG[0], 0, 1)
    angles[:, -1] = np.clip(14 * mean_curl + rng.normal(1, 2, count), 0, None)
    return np.clip(angles, LIMITS_DEG[:, 0], LIMITS_DEG[:, 1])
