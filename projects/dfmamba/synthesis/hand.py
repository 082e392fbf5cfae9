"""A kinematic hand: shape of a subject, joint angles with their limits, forward kinematics.

Everything here is a right hand in its own frame, in millimetres: the wrist is the origin, x points to the thumb side,
y along the middle metacarpal to the fingers, z out of the palm. A left hand is the mirror image x -> -x (`mirror`).
Bone lengths and knuckle places are means over the four real InterHand2.6M samples in MMPose's test data, rounded;
ranges of motion are textbook values (American Academy of Orthopaedic Surgeons), a little widened.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS, HAND_JOINTS, NUM_HAND_JOINTS, WRIST

NUM_FINGERS = len(FINGERS)
SEGMENTS = 3  # bones of one finger beyond joint 1: from joint 1 to 2, 2 to 3, 3 to the tip
FINGER_JOINTS = np.array([[HAND_JOINTS.index(f"{finger}{k}") for k in (1, 2, 3, 4)] for finger in FINGERS])

# Four angles for each finger (of the thumb: the joint next to the wrist, then 2 and 3), then three for the whole hand.
ANGLES = (
    *(f"{finger}_{dof}" for finger in FINGERS for dof in ("flexion", "spread", "flexion2", "flexion3")),
    "wrist_flexion",
    "wrist_deviation",
    "palm_cup",
)
NUM_ANGLES = len(ANGLES)
# Degrees (low, high). Spread is away from the middle finger; the thumb's spread is out of the palm plane.
# fmt: off
LIMITS_DEG = np.array([
    [-30, 35], [-25, 35], [-10, 60], [-20, 80],
    [-20, 90], [-8, 22], [0, 105], [-5, 80],
    [-20, 90], [-10, 10], [0, 105], [-5, 80],
    [-20, 90], [-8, 16], [0, 105], [-5, 80],
    [-20, 90], [-8, 30], [0, 105], [-5, 80],
    [-45, 45], [-18, 28], [0, 18],
], dtype=np.float64)
# fmt: on

# Bones: rigid parts that skin and flesh hang on. The "half" bones turn by half the angle of a joint; they keep the skin
# from caving in where a finger bends.
BONES = (
    "forearm",
    "half_wrist",
    "palm",
    "ring_metacarpal",
    "pinky_metacarpal",
    *(f"{kind}{finger}{k}" for finger in FINGERS for k in (1, 2, 3) for kind in ("half_", "")),
)
BONE = {name: index for index, name in enumerate(BONES)}

MEAN_KNUCKLES_MM = np.array(
    [[22.0, 22.0, 21.0], [24.0, 84.0, 4.0], [0.0, 85.0, 0.0], [-21.0, 79.0, 1.0], [-40.0, 68.0, 4.0]]
)
MEAN_SEGMENTS_MM = np.array(
    [[36.0, 31.0, 27.5], [41.0, 25.5, 22.0], [43.5, 29.0, 22.5], [39.5, 27.0, 22.0], [30.0, 19.5, 19.0]]
)
# The thumb at angle zero: direction of its first bone and direction in which it flexes.
THUMB_DIRECTION = np.array([0.56, 0.74, 0.37])
THUMB_FLEXION = np.array([-0.78, 0.32, 0.54])
# Degrees: turn of each finger about its length (in a fist the fingertips point to the ball of the thumb) and the
# direction of each finger at spread zero.
TWIST_DEG = np.array([0.0, -5.0, 5.0, 11.0, 16.0])
FAN_DEG = np.array([0.0, 0.0, 0.0, 1.0, 5.0])
SPREAD_SIGN = np.array([-1.0, -1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class HandShape:
    """Sizes of one subject's hand.

    Attributes:
        knuckles_mm: (5, 3) joint 1 of every finger, palm flat, relative to the wrist.
        segments_mm: (5, 3) lengths from joint 1 to 2, 2 to 3 and 3 to the tip.
        girth: Factor on the thickness of the flesh; 1 is average.
    """

    knuckles_mm: Array
    segments_mm: Array
    girth: float

    @property
    def size(self) -> float:
        """Length of the palm relative to the mean hand."""
        middle = FINGERS.index("middle")
        return float(np.linalg.norm(self.knuckles_mm[middle]) / np.linalg.norm(MEAN_KNUCKLES_MM[middle]))


MEAN_SHAPE = HandShape(MEAN_KNUCKLES_MM, MEAN_SEGMENTS_MM, 1.0)


@dataclass(frozen=True)
class Articulation:
    """A posed right hand in its own frame; all arrays may share leading axes.

    Attributes:
        joints_mm: (..., 21, 3) in canonical order; the wrist is the origin.
        rotations: (..., bones, 3, 3) from a bone's own frame (y along the bone) to the hand frame.
        origins_mm: (..., bones, 3) where each bone begins.
    """

    joints_mm: Array
    rotations: Array
    origins_mm: Array


def sample_shape(rng: np.random.Generator) -> HandShape:
    """Draw the sizes of a new subject: palm length within 6 % of the mean, single bones within a few more."""
    return _sample_shape(rng, float(np.clip(rng.normal(1.0, 0.03), 0.94, 1.06)), 1.0)


def sample_any_shape(rng: np.random.Generator) -> HandShape:
    """Draw the sizes of anybody, child to large adult: palm length 0.7 to 1.15 of the mean; 2.5 times the variety.

    A few are too thick for their width: `contact.fingers_fit` tells.
    """
    size = rng.uniform(0.7, 0.9) if rng.random() < 0.2 else np.clip(rng.normal(1.0, 0.06), 0.85, 1.15)
    return _sample_shape(rng, float(size), 2.5)


def _sample_shape(rng: np.random.Generator, size: float, variety: float) -> HandShape:
    """Draw a hand of some size, its parts within `variety` times a few percent."""

    def factor(deviation: float, most: float, shape: tuple[int, ...] | None = None) -> Any:
        return np.clip(rng.normal(1.0, variety * deviation, shape), 1 - variety * most, 1 + variety * most)

    fingers = factor(0.03, 0.07, (NUM_FINGERS, 1))
    segments = factor(0.02, 0.05, (NUM_FINGERS, SEGMENTS))
    width = factor(0.03, 0.06)
    knuckles = MEAN_KNUCKLES_MM * size * np.array([width, 1.0, 1.0])
    girth = factor(0.05, 0.1)
    return HandShape(knuckles, MEAN_SEGMENTS_MM * size * fingers * segments, float(size * width * girth))


def mirror(points: Array) -> Array:
    """Turn a right hand's points (..., 3) into the left hand's, and back: x -> -x."""
    return points * np.array([-1.0, 1.0, 1.0])


def _rotation(axis: int, degrees: Array | float) -> Array:
    """Return right-handed rotations (..., 3, 3) about one coordinate axis."""
    radians = np.radians(degrees)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*np.shape(radians), 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = np.cos(radians)
    matrix[..., j, i] = np.sin(radians)
    matrix[..., i, j] = -matrix[..., j, i]
    return matrix


def thumb_base() -> Array:
    """Return the frame (3, 3) in which the thumb's angles are measured."""
    y = THUMB_DIRECTION / np.linalg.norm(THUMB_DIRECTION)
    z = THUMB_FLEXION - THUMB_FLEXION @ y * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], axis=1)


def _finger_rotations(finger: int, base: Array, angles_deg: Array) -> list[Array]:
    """Return the rotations of half_1, 1, half_2, 2, half_3, 3 of one finger, from its four angles (..., 4)."""
    flexion, spread, flexion2, flexion3 = np.moveaxis(angles_deg, -1, 0)

    def first(share: float) -> Array:
        sideways = FAN_DEG[finger] + share * SPREAD_SIGN[finger] * spread
        return base @ _rotation(0, share * flexion) @ _rotation(2, sideways) @ _rotation(1, TWIST_DEG[finger])

    first_bone = first(1.0)
    second_bone = first_bone @ _rotation(0, flexion2)
    return [
        first(0.5),
        first_bone,
        first_bone @ _rotation(0, flexion2 / 2),
        second_bone,
        second_bone @ _rotation(0, flexion3 / 2),
        second_bone @ _rotation(0, flexion3),
    ]


def articulate(shape: HandShape, angles_deg: Array) -> Articulation:
    """Pose a right hand.

    Args:
        shape: The subject's sizes.
        angles_deg: (..., 23) in the order of `ANGLES`; limits are not enforced here.

    Raises:
        ValueError: The last axis has not one entry for each of `ANGLES`.
    """
    angles = np.asarray(angles_deg, dtype=np.float64)
    if angles.ndim == 0 or angles.shape[-1] != NUM_ANGLES:
        raise ValueError(f"angles_deg: expected a last axis of {NUM_ANGLES} (see ANGLES), got shape {angles.shape}")
    lead = angles.shape[:-1]
    rotations = np.zeros((*lead, len(BONES), 3, 3))
    origins = np.zeros((*lead, len(BONES), 3))
    joints = np.zeros((*lead, NUM_HAND_JOINTS, 3))

    wrist_flexion, wrist_deviation, cup = np.moveaxis(angles[..., -3:], -1, 0)
    for name, share in (("forearm", 1.0), ("half_wrist", 0.5), ("palm", 0.0)):
        rotations[..., BONE[name], :, :] = _rotation(2, -share * wrist_deviation) @ _rotation(0, -share * wrist_flexion)
    rotations[..., BONE["ring_metacarpal"], :, :] = _rotation(0, 0.5 * cup)
    rotations[..., BONE["pinky_metacarpal"], :, :] = _rotation(0, cup)

    for finger, name in enumerate(FINGERS):
        metacarpal = rotations[..., BONE.get(f"{name}_metacarpal", BONE["palm"]), :, :]
        base = metacarpal @ thumb_base() if name == "thumb" else metacarpal
        chain = _finger_rotations(finger, base, angles[..., 4 * finger : 4 * finger + 4])
        start = metacarpal @ shape.knuckles_mm[finger]
        joints[..., FINGER_JOINTS[finger, 0], :] = start
        for segment in range(SEGMENTS):
            for kind, rotation in zip(("half_", ""), chain[2 * segment : 2 * segment + 2], strict=True):
                bone = BONE[f"{kind}{name}{segment + 1}"]
                rotations[..., bone, :, :], origins[..., bone, :] = rotation, start
            start = start + chain[2 * segment + 1][..., :, 1] * shape.segments_mm[finger, segment]
            joints[..., FINGER_JOINTS[finger, segment + 1], :] = start
    assert not joints[..., WRIST, :].any()
    return Articulation(joints, rotations, origins)
