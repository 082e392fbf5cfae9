"""A person at a table whose hands hold objects or are empty, and the objects that lie about.

World: that of `person`, the table's top `TABLE_MM` below the shoulders, before the person, so at negative z.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import LEFT
from dfmamba.synthesis.contact import gap_between
from dfmamba.synthesis.grasp import Grasp, capsule_gaps
from dfmamba.synthesis.objects import (
    ObjectLook,
    ObjectModel,
    PlacedObject,
    objects_intersect,
    resting,
    sample_object_look,
)
from dfmamba.synthesis.person import (
    ArmHabit,
    Forearm,
    Part,
    body_parts,
    dressed,
    hand_on_forearm,
    part_capsules,
    sample_forearm,
    to_forearm,
    upper_arm,
)
from dfmamba.synthesis.scene import PosedHand, Scene, Subject, compose_scene
from dfmamba.synthesis.shading import Lighting
from dfmamba.synthesis.table import Table, sample_table

TABLE_MM = 460.0
TABLE_CENTER_MM, TABLE_HALF_MM = np.array([0.0, TABLE_MM, -600.0]), (750.0, 450.0)
CLEARANCE_MM = 8.0
MAX_GRASPS, MAX_TRIES = 20, 300  # tries: for each grasp, and for each place on the table


@dataclass(frozen=True)
class Reach:
    """Where hands work.

    Attributes:
        habit: How the arms are held.
        place_mm: (3,) the middle of the place.
        radius_mm: How far the middle of a hand is from there at most.
    """

    habit: ArmHabit
    place_mm: Array
    radius_mm: float


@dataclass(frozen=True)
class _Arm:
    """A forearm with its hand, and what it holds."""

    forearm: Forearm
    hand: PosedHand
    held: PlacedObject | None


def make_table(rng: np.random.Generator) -> Table:
    """Draw the table's looks."""
    return sample_table(TABLE_CENTER_MM, TABLE_HALF_MM, rng)


def scatter(
    objects: Sequence[ObjectModel], center_mm: Array, radii_mm: tuple[float, float], rng: np.random.Generator
) -> list[PlacedObject]:
    """Put objects on the table between two circles about a place, apart from each other; draw their looks.

    Raises:
        RuntimeError: There was no room for one of them in `MAX_TRIES` draws.
    """
    placed: list[PlacedObject] = []
    for obj in objects:
        look = sample_object_look(rng)
        for _ in range(MAX_TRIES):
            way, turn = np.sqrt(rng.uniform(radii_mm[0] ** 2, radii_mm[1] ** 2)), rng.uniform(0, 2 * np.pi)
            place = np.array([center_mm[0] + way * np.cos(turn), TABLE_MM, center_mm[2] + way * np.sin(turn)])
            candidate = resting(obj, look, place, rng.uniform(0, 360))
            if not any(objects_intersect(candidate, other) for other in placed):
                placed.append(candidate)
                break
        else:
            raise RuntimeError(f"no room on the table for {obj.name} in {MAX_TRIES} draws")
    return placed


def sample_scene(
    subject: Subject,
    draw_grasps: Callable[[], Mapping[int, Grasp]],
    reach: Reach,
    lying: Sequence[PlacedObject],
    clothes: Mapping[str, ObjectLook],
    lighting: Lighting,
    rng: np.random.Generator,
) -> Scene:
    """Draw a person whose hands do what they are told above the table; an arm that is not named hangs down.

    Args:
        subject: Whose hands.
        draw_grasps: Called for what the hands of some sides do, as right hands, and again if there is no room for it.
        reach: Where they do it.
        lying: What lies on the table; the first of `Scene.objects`, before what is held, right hand first, and the
            body.
        clothes: See `person.sample_clothes`.
        lighting: The lamps.
        rng: Source of randomness.

    Raises:
        RuntimeError: In `MAX_GRASPS` times `MAX_TRIES` draws, the hands always met something or were elsewhere.
    """
    for _ in range(MAX_GRASPS):
        grasps = draw_grasps()
        parts = body_parts(tuple(grasps))
        arms = _sample_arms(subject, grasps, reach, parts, lying, rng)
        if arms is not None:
            parts += [upper_arm(arm.hand.side, arm.forearm) for arm in arms]
            held = [arm.held for arm in arms if arm.held is not None]
            return compose_scene(
                subject, [arm.hand for arm in arms], lighting, [*lying, *held, *dressed(parts, clothes)]
            )
    raise RuntimeError(f"the hands met something or were elsewhere in {MAX_GRASPS} x {MAX_TRIES} draws")


def _sample_arms(
    subject: Subject,
    grasps: Mapping[int, Grasp],
    reach: Reach,
    body: Sequence[Part],
    lying: Sequence[PlacedObject],
    rng: np.random.Generator,
) -> list[_Arm] | None:
    """Draw how the arms are held, one after the other; None if there is no room for one in `MAX_TRIES` draws."""
    body_ends, body_radii = part_capsules(body)
    radii, size = subject.surface.capsules.radii_mm, subject.surface.shape.size
    at_rest = {side: _hand_and_object(subject, side, grasp) for side, grasp in grasps.items()}
    arms: list[_Arm] = []
    for side, pair in at_rest.items():
        for _ in range(MAX_TRIES):
            arm = _at_end_of(sample_forearm(side, size, reach.habit, rng), *pair)
            if (
                _is_at_work(arm, reach)
                and _is_clear(arm, radii, body_ends, body_radii, lying)
                and all(_are_apart(arm, other, radii) for other in arms)
            ):
                arms.append(arm)
                break
        else:
            return None
    return arms


def _hand_and_object(subject: Subject, side: int, grasp: Grasp) -> tuple[PosedHand, PlacedObject | None]:
    """Return a hand and what it holds in the frame of the forearm."""
    hand, held = hand_on_forearm(subject, side, grasp.angles_deg), grasp.held
    if held is not None:
        held = (held.mirrored() if side == LEFT else held).moved(
            to_forearm(subject, side, grasp.angles_deg), np.zeros(3)
        )
    return hand, held


def _at_end_of(forearm: Forearm, hand: PosedHand, held: PlacedObject | None) -> _Arm:
    """Put a hand and what it holds, given in the frame of the forearm, where the forearm is."""
    return _Arm(
        forearm,
        hand.moved(forearm.frame, forearm.wrist_mm),
        None if held is None else held.moved(forearm.frame, forearm.wrist_mm),
    )


def _is_at_work(arm: _Arm, reach: Reach) -> bool:
    """Whether a hand is where hands work."""
    return bool(np.linalg.norm(arm.hand.joints_mm.mean(axis=0) - reach.place_mm) < reach.radius_mm)


def _is_clear(arm: _Arm, radii: Array, body_ends: Array, body_radii: Array, lying: Sequence[PlacedObject]) -> bool:
    """Whether an arm and what it holds are above the table and meet neither the body nor what lies about."""
    ends, held = arm.hand.ends_mm, arm.held
    if (ends[..., 1] + radii).max() > TABLE_MM or gap_between(ends, radii, body_ends, body_radii) < CLEARANCE_MM:
        return False
    if any(capsule_gaps(obj, ends, radii).min() < CLEARANCE_MM for obj in lying):
        return False
    return held is None or bool(
        held.vertices_mm[:, 1].max() < TABLE_MM
        and capsule_gaps(held, body_ends, body_radii).min() > CLEARANCE_MM
        and not any(objects_intersect(held, obj) for obj in lying)
    )


def _are_apart(one: _Arm, two: _Arm, radii: Array) -> bool:
    """Whether two arms and what they hold do not meet."""
    if gap_between(one.hand.ends_mm, radii, two.hand.ends_mm, radii) < CLEARANCE_MM:
        return False
    for arm, other in ((one, two), (two, one)):
        if arm.held is not None and capsule_gaps(arm.held, other.hand.ends_mm, radii).min() < CLEARANCE_MM:
            return False
    return one.held is None or two.held is None or not objects_intersect(one.held, two.held)
