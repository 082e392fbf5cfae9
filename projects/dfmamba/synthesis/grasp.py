"""A hand that holds an object: it goes to the palm, the fingers close on it, the thumb comes from the other side.

The hand's frame is that of `hand`: a right hand, x to the thumb side, y to the fingers, z out of the palm. Each finger
turns joint after joint until its capsules meet the object, so no part passes through: overlap is measured between the
`Capsules` and the object's distance field, and stays below `PRESS_MM`; the skin is a millimetre or so off.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.capsules import Capsules, hand_capsules
from dfmamba.synthesis.contact import SELF_OVERLAP_MM, self_overlap, self_pairs
from dfmamba.synthesis.hand import ANGLES, LIMITS_DEG, NUM_ANGLES, HandShape, articulate
from dfmamba.synthesis.objects import ObjectLook, ObjectModel, PlacedObject, ball_gap
from dfmamba.synthesis.poses import neutral_angles

PRESS_MM = 1.5  # soft tissue: how far a hand's capsules may press into an object
TOUCH_MM = 2.5  # a finger closer than this holds
WIDEST_MM = 110.0  # between fingers and thumb
THUMB_DRAWS = 400
MAX_TRIES = 60
_BALLS = 7  # along a capsule, for its distance to an object
_STEPS = 17  # of a movement that is tried at once; two rounds leave 1/256 of the way
_THUMB = FINGERS.index("thumb")
_CLOSED_DEG = {"flexion": 80.0, "flexion2": 100.0, "flexion3": 65.0}  # where a finger stops that meets nothing


@dataclass(frozen=True)
class Grasp:
    """A right hand's pose and the object in it.

    Attributes:
        angles_deg: (23,) joint angles.
        held: The object, placed in the hand's frame; None: the hand is empty.
    """

    angles_deg: Array
    held: PlacedObject | None


def capsule_gaps(placed: PlacedObject, ends: Array, radii: Array) -> Array:
    """Return the gap (..., P) in mm between an object and capsules (..., P, 2, 3) with radii (P, 2); negative: overlap.

    Each capsule counts as a row of balls.
    """
    t = np.linspace(0, 1, _BALLS)
    centers = ends[..., :1, :] * (1 - t)[:, None] + ends[..., 1:, :] * t[:, None]  # (..., P, balls, 3)
    return ball_gap(placed, centers, radii[:, :1] * (1 - t) + radii[:, 1:] * t).min(axis=-1)


def sample_grasp(shape: HandShape, obj: ObjectModel, look: ObjectLook, rng: np.random.Generator) -> Grasp:
    """Draw a way in which a right hand holds an object: the thumb and at least two fingers touch it.

    Raises:
        ValueError: The object is too wide for a hand whichever way it is turned.
        RuntimeError: No grasp was found in `MAX_TRIES` draws.
    """
    capsules = hand_capsules(shape)
    pairs = self_pairs(capsules)
    for _ in range(MAX_TRIES):
        angles = _open_hand(rng)
        placed = _bring_to_palm(shape, capsules, angles, _lay_before_palm(shape, obj, look, rng), rng)
        if placed is None:
            continue
        for finger in range(len(FINGERS)):
            if finger != _THUMB:
                angles = _close_finger(shape, capsules, pairs, placed, angles, finger)
        closed = _put_thumb(shape, capsules, pairs, placed, angles, rng)
        if closed is not None and _holds(shape, capsules, placed, closed):
            return Grasp(closed, placed)
    raise RuntimeError(f"grasp of {obj.name}: none found in {MAX_TRIES} draws")


def _open_hand(rng: np.random.Generator) -> Array:
    """Return angles (23,) of an open hand with a bent wrist."""
    angles: Array = np.zeros(NUM_ANGLES)
    angles[ANGLES.index("wrist_flexion")] = rng.normal(-12, 12)
    angles[ANGLES.index("wrist_deviation")] = rng.normal(3, 8)
    angles[ANGLES.index("palm_cup")] = rng.uniform(2, 12)
    angles = neutral_angles(angles)
    for finger in FINGERS[1:]:
        angles[ANGLES.index(f"{finger}_spread")] += rng.normal(0, 2)
    return np.clip(angles, LIMITS_DEG[:, 0], LIMITS_DEG[:, 1])


def _lay_before_palm(shape: HandShape, obj: ObjectModel, look: ObjectLook, rng: np.random.Generator) -> PlacedObject:
    """Place an object far in front of the palm, its own axes along the hand's: one that is not too wide along y.

    y is the way from the thumb to the bent fingers.
    """
    extents = np.array(obj.size_mm)
    fits = np.flatnonzero(extents <= WIDEST_MM)
    if not len(fits):
        raise ValueError(f"obj: expected an extent of {WIDEST_MM:.0f} mm or less, got {obj.name} with {extents}")
    across = int(rng.choice(fits, p=(1 / extents[fits]) / (1 / extents[fits]).sum()))
    others = [axis for axis in range(3) if axis != across]
    if extents[others[0]] < 2 * extents[others[1]] and rng.random() < 0.3:
        others.reverse()
    order = np.array([others[0], across, others[1]])  # of its axes along the hand's x, y, z
    turn = np.eye(3)[order]
    turn[0] *= np.linalg.det(turn)
    tilt = Rotation.from_euler("xyz", rng.normal(0, (15, 8, 12)), degrees=True).as_matrix()
    # A thin object lies higher, where the fingertips come down.
    middle = max(32 * shape.size + extents[across] / 2, 66 * shape.size) + rng.normal(0, 5)
    center = np.array([rng.normal(-6, 8), middle, 150 + extents.max()])
    return PlacedObject(obj, look, tilt @ turn, center)


def _bring_to_palm(
    shape: HandShape, capsules: Capsules, angles: Array, placed: PlacedObject, rng: np.random.Generator
) -> PlacedObject | None:
    """Move an object along -z until it nearly meets palm, forearm or straight fingers; None if it misses them."""
    no_thumb = capsules.finger != _THUMB
    ends = capsules.posed_ends(articulate(shape, angles))[no_thumb]
    rest_gap, way = rng.uniform(0, 14), 0.0
    start = placed.translation_mm
    while way < start[2]:
        placed = PlacedObject(placed.model, placed.look, placed.rotation, start - [0, 0, way])
        gap = capsule_gaps(placed, ends, capsules.radii_mm[no_thumb]).min() - rest_gap
        if gap < 1:
            return placed
        way += gap
    return None


def _close_finger(
    shape: HandShape, capsules: Capsules, pairs: np.ndarray, placed: PlacedObject, angles: Array, finger: int
) -> Array:
    """Bend one finger's joints, from the knuckle outwards, each until something is met."""
    own = capsules.finger == finger
    own_pairs = pairs[own[pairs].any(axis=1)]
    for joint, limit in _CLOSED_DEG.items():
        column = ANGLES.index(f"{FINGERS[finger]}_{joint}")
        low, high = angles[column], limit
        for _ in range(2):
            trial = np.repeat(angles[None], _STEPS, axis=0)
            trial[:, column] = np.linspace(low, high, _STEPS)
            ends = capsules.posed_ends(articulate(shape, trial))
            meets = capsule_gaps(placed, ends[:, own], capsules.radii_mm[own]).min(axis=-1) < -PRESS_MM / 2
            meets |= self_overlap(capsules, ends, own_pairs).max(axis=-1) > SELF_OVERLAP_MM
            free = int(meets.argmax()) if meets.any() else _STEPS
            angles = trial[max(free - 1, 0)]
            if free in (0, _STEPS):
                break
            low, high = trial[free - 1, column], trial[free, column]
    return angles


def _put_thumb(
    shape: HandShape,
    capsules: Capsules,
    pairs: np.ndarray,
    placed: PlacedObject,
    angles: Array,
    rng: np.random.Generator,
) -> Array | None:
    """Return the angles with the thumb's end on the object: the best of many draws; None if all pass through it."""
    trial = np.repeat(angles[None], THUMB_DRAWS, axis=0)
    columns = slice(4 * _THUMB, 4 * _THUMB + 4)
    trial[:, columns] = rng.uniform(LIMITS_DEG[columns, 0], LIMITS_DEG[columns, 1], (THUMB_DRAWS, 4))
    own = capsules.finger == _THUMB
    ends = capsules.posed_ends(articulate(shape, trial))
    gaps = capsule_gaps(placed, ends[:, own], capsules.radii_mm[own])
    overlap = self_overlap(capsules, ends, pairs[own[pairs].any(axis=1)]).max(axis=-1)
    free = (gaps.min(axis=-1) > -PRESS_MM) & (overlap < SELF_OVERLAP_MM)
    if not free.any():
        return None
    reach = gaps[:, capsules.segment[own] == 3].min(axis=-1)
    return trial[np.where(free, reach, np.inf).argmin()]


def _holds(shape: HandShape, capsules: Capsules, placed: PlacedObject, angles: Array) -> bool:
    """Whether thumb and two fingers touch the object, and no part of the hand, nor the forearm, is deep in it."""
    gaps = capsule_gaps(placed, capsules.posed_ends(articulate(shape, angles)), capsules.radii_mm)
    outer = capsules.segment >= 2
    touching = [gaps[outer & (capsules.finger == finger)].min() < TOUCH_MM for finger in range(len(FINGERS))]
    return bool(gaps.min() > -PRESS_MM and touching[_THUMB] and sum(touching) >= 3)
