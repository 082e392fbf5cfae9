"""A simple person around the hands: trunk, head, arms and legs of capsules, and arms that carry the hands.

World: millimetres, y down; the person stands upright, faces -z (so the right hand is on the side of -x), and the middle
between the shoulders is the origin. Sizes are rounded from anthropometric tables of adults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array
from dfmamba.skeleton import LEFT, RIGHT
from dfmamba.synthesis.capsules import FOREARM_MM
from dfmamba.synthesis.contact import gap_between, sample_pose
from dfmamba.synthesis.hand import BONE, articulate
from dfmamba.synthesis.look import Look
from dfmamba.synthesis.objects import ObjectLook, ObjectModel, PlacedObject
from dfmamba.synthesis.poses import FAMILIES
from dfmamba.synthesis.scene import PosedHand, Subject, pose_hand

OUTWARD = {RIGHT: np.array([-1.0, 1.0, 1.0]), LEFT: np.array([1.0, 1.0, 1.0])}  # arms are given with x outward
SHOULDER_MM = np.array([195.0, 15.0, 0.0])
UPPER_ARM_MM, UPPER_ARM_RADIUS_MM = 285.0, 47.0
FOREARM_SHARE = 0.97  # of the forearm's skin: from wrist to elbow
THUMB_UP = np.array([0.0, -1.0, -0.35])
MOST_FLEXION_DEG = 140.0
CLEARANCE_MM = 12.0
MAX_TRIES = 400


class Part(NamedTuple):
    """A part of the body: a capsule.

    Attributes:
        name: `shirt`, `skin`, `hair` or `trousers`.
        start_mm: (3,) one end of its axis.
        end_mm: (3,) the other end.
        radius_mm: Of both ends.
    """

    name: str
    start_mm: ArrayLike
    end_mm: ArrayLike
    radius_mm: float


TRUNK = (
    Part("shirt", (-72, 60, 10), (-66, 470, 10), 98),
    Part("shirt", (72, 60, 10), (66, 470, 10), 98),
    Part("shirt", (0, 90, -12), (0, 440, -8), 100),
    Part("shirt", (-165, 22, 5), (165, 22, 5), 55),
    Part("skin", (0, -20, 8), (0, -130, 0), 55),
    Part("skin", (0, -165, -12), (0, -235, -8), 78),
    Part("hair", (0, -215, 14), (0, -248, 12), 90),
    Part("trousers", (-90, 500, 5), (-95, 900, 0), 84),
    Part("trousers", (90, 500, 5), (95, 900, 0), 84),
    Part("trousers", (-95, 900, 0), (-100, 1330, 15), 55),
    Part("trousers", (95, 900, 0), (100, 1330, 15), 55),
)
# With x outward; of a hand that the set does not annotate.
HANGING_ARM = (
    Part("shirt", (195, 15, 0), (225, 300, 10), 47),
    Part("shirt", (225, 300, 10), (225, 540, -40), 36),
    Part("skin", (225, 590, -50), (222, 650, -60), 38),
)


@dataclass(frozen=True)
class ArmHabit:
    """How arms are held; directions have x outward, y down, z backward.

    Attributes:
        upper_arm: (2, 3) mean direction from shoulder to elbow before scaling to length 1, and its deviation.
        forearm: (2, 3) the same from elbow to wrist.
        roll_deg: Turn of the forearm about its length to both sides; at 0 the thumb is up.
    """

    upper_arm: Array
    forearm: Array
    roll_deg: float


FREE_ARMS = ArmHabit(
    np.array([[0.45, 0.75, -0.35], [0.3, 0.35, 0.4]]), np.array([[-0.2, -0.2, -0.8], [0.45, 0.5, 0.4]]), 100.0
)
RAISED_ARM = ArmHabit(
    np.array([[0.3, 0.75, -0.5], [0.15, 0.2, 0.2]]), np.array([[-0.2, -0.45, -0.8], [0.3, 0.3, 0.2]]), 120.0
)


@dataclass(frozen=True)
class Person:
    """One moment of a person.

    Attributes:
        hands: The annotated hands with their forearms.
        body: Everything else.
        body_ends_mm: (P, 2, 3) the axes of the body's capsules.
        body_radii_mm: (P, 2) their radii.
    """

    hands: tuple[PosedHand, ...]
    body: tuple[PlacedObject, ...]
    body_ends_mm: Array
    body_radii_mm: Array


@dataclass(frozen=True)
class Forearm:
    """Where a forearm is.

    Attributes:
        frame: (3, 3) see `forearm_frame`.
        wrist_mm: (3,).
        elbow_mm: (3,).
    """

    frame: Array
    wrist_mm: Array
    elbow_mm: Array


def sample_person(subject: Subject, sides: tuple[int, ...], habit: ArmHabit, rng: np.random.Generator) -> Person:
    """Draw a person whose hands of some sides are posed and annotated; another arm hangs down.

    Raises:
        RuntimeError: In `MAX_TRIES` draws, the hands always met the body or each other.
    """
    shape, capsules = subject.surface.shape, subject.surface.capsules
    parts = body_parts(sides)
    trunk_ends, trunk_radii = part_capsules(parts)
    at_rest = [
        hand_on_forearm(subject, side, sample_pose(shape, str(rng.choice(list(FAMILIES))), rng)) for side in sides
    ]
    for _ in range(MAX_TRIES):
        arms = [sample_forearm(side, shape.size, habit, rng) for side in sides]
        hands = [hand.moved(arm.frame, arm.wrist_mm) for hand, arm in zip(at_rest, arms, strict=True)]
        gaps = [gap_between(hand.ends_mm, capsules.radii_mm, trunk_ends, trunk_radii) for hand in hands]
        if len(hands) == 2:
            gaps.append(gap_between(hands[0].ends_mm, capsules.radii_mm, hands[1].ends_mm, capsules.radii_mm))
        if min(gaps) > CLEARANCE_MM:
            parts += [upper_arm(side, arm) for side, arm in zip(sides, arms, strict=True)]
            return Person(tuple(hands), dressed(parts, sample_clothes(subject.look, rng)), *part_capsules(parts))
    raise RuntimeError(f"the hands met the body or each other in {MAX_TRIES} draws")


def body_parts(sides: Sequence[int]) -> list[Part]:
    """Return the body without the arms of some sides; another arm hangs down."""
    parts = list(TRUNK)
    for side in (RIGHT, LEFT):
        if side not in sides:
            parts += [
                part._replace(start_mm=OUTWARD[side] * part.start_mm, end_mm=OUTWARD[side] * part.end_mm)
                for part in HANGING_ARM
            ]
    return parts


def hand_on_forearm(subject: Subject, side: int, angles_deg: Array) -> PosedHand:
    """Pose a hand in the frame of its forearm; the wrist is the origin."""
    return pose_hand(subject, side, angles_deg).moved(to_forearm(subject, side, angles_deg), np.zeros(3))


def to_forearm(subject: Subject, side: int, angles_deg: Array) -> Array:
    """Return the rotation (3, 3) from a posed hand's own frame to that of its forearm."""
    forearm = articulate(subject.surface.shape, angles_deg).rotations[BONE["forearm"]]
    if side == LEFT:
        flip = np.diag([-1.0, 1.0, 1.0])
        forearm = flip @ forearm @ flip
    return forearm.T


def sample_forearm(side: int, size: float, habit: ArmHabit, rng: np.random.Generator) -> Forearm:
    """Draw how an arm is held.

    Args:
        side: `RIGHT` or `LEFT`.
        size: See `HandShape.size`.
        habit: What is usual.
        rng: Source of randomness.
    """
    while True:
        upper, fore = (rng.normal(mean, deviation) for mean, deviation in (habit.upper_arm, habit.forearm))
        upper, fore = upper / np.linalg.norm(upper), fore / np.linalg.norm(fore)
        if upper @ fore > np.cos(np.radians(MOST_FLEXION_DEG)):
            break
    roll = rng.uniform(-habit.roll_deg, habit.roll_deg)
    elbow, fore = (SHOULDER_MM + UPPER_ARM_MM * upper) * OUTWARD[side], fore * OUTWARD[side]
    return Forearm(forearm_frame(side, fore, roll), elbow + FOREARM_SHARE * FOREARM_MM * size * fore, elbow)


def upper_arm(side: int, arm: Forearm) -> Part:
    """Return the part of the body from shoulder to elbow."""
    return Part("shirt", SHOULDER_MM * OUTWARD[side], arm.elbow_mm, UPPER_ARM_RADIUS_MM)


def forearm_frame(side: int, direction: Array, roll_deg: float) -> Array:
    """Return the frame (3, 3) of a forearm: y along `direction` to the wrist, x to the thumb of a right hand.

    A left hand is a mirrored right one, so its thumb is at -x. At roll 0 the thumb is up.
    """
    thumb = THUMB_UP - (THUMB_UP @ direction) * direction
    thumb /= np.linalg.norm(thumb)
    x = Rotation.from_rotvec(np.radians(roll_deg) * direction).apply(thumb if side == RIGHT else -thumb)
    return np.stack([x, direction, np.cross(x, direction)], axis=1)


def part_capsules(parts: Sequence[Part]) -> tuple[Array, Array]:
    """Return the ends (P, 2, 3) and radii (P, 2) of parts of the body."""
    return (
        np.array([[part.start_mm, part.end_mm] for part in parts], dtype=np.float64),
        np.array([[part.radius_mm, part.radius_mm] for part in parts], dtype=np.float64),
    )


def dressed(parts: Sequence[Part], clothes: Mapping[str, ObjectLook]) -> tuple[PlacedObject, ...]:
    """Return parts of the body as coloured capsules; the clothes go by the parts' names."""
    return tuple(_limb(part, clothes[part.name]) for part in parts)


def _limb(part: Part, look: ObjectLook) -> PlacedObject:
    """Return one part of the body."""
    start, end = np.asarray(part.start_mm, dtype=np.float64), np.asarray(part.end_mm, dtype=np.float64)
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    across = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    frame = np.stack([along, across, np.cross(along, across)], axis=1)
    diameter = 2 * part.radius_mm
    return PlacedObject(
        ObjectModel(part.name, 0, "capsule", (float(length + diameter), diameter, diameter)),
        look,
        frame,
        (start + end) / 2,
    )


def sample_clothes(look: Look, rng: np.random.Generator) -> dict[str, ObjectLook]:
    """Draw the looks of the parts of the body, by name; the shirt is of the sleeve's cloth."""

    def plain(colour: Array, gloss: float) -> ObjectLook:
        return ObjectLook(np.tile(colour, (3, 1)), 0.0, 1.0, rng.uniform(0, 2 * np.pi, 3), gloss)

    shirt = ObjectLook(look.sleeve[[0, 0, 1]], 1.0, rng.uniform(5, 40), rng.uniform(0, 2 * np.pi, 3), 0.01)
    return {
        "skin": plain(look.skin, look.gloss),
        "shirt": shirt,
        "trousers": plain(rng.uniform(0.005, 0.25, 3), 0.01),
        "hair": plain(rng.uniform(0.01, 0.2) * np.array([1.0, 0.75, 0.55]), 0.1),
    }
