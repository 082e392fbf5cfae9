"""Two hands together: named arrangements, brought to touch without passing through each other.

The frame of a pair is that of the right hand: x to its thumb, y to its fingers, z out of its palm. The left hand's own
frame is the mirror image, so unturned it lies beside the right hand with its thumb towards -x and its palm towards +z.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array
from dfmamba.skeleton import LEFT, RIGHT
from dfmamba.synthesis.capsules import hand_capsules
from dfmamba.synthesis.contact import gap_between, sample_pose, slide_to_touch
from dfmamba.synthesis.hand import BONE, HandShape, articulate, mirror

MAX_TRIES = 60
START_MM = 320.0  # how far apart two hands begin that are brought together
MAX_GAP_MM = 20.0  # between the hands proper when the first parts, perhaps forearms, touch
MAX_EXTENT_MM = 280.0  # of all joints along any axis: a pair should fit into the picture


@dataclass(frozen=True)
class Arrangement:
    """One way in which two hands meet.

    Attributes:
        right: Pose families of the right hand to choose from.
        left: Pose families of the left hand.
        turn_deg: Turns of the left hand about the pair's x, then y, then z axis.
        spin_deg: Range of a further turn about the direction of approach, to both sides.
        approach: Direction in which the left hand moves towards the right one.
        contact: Point of the right hand, in mm, where the middle of the left hand is aimed at.
        touches: False for hands that only cross in depth.
    """

    right: tuple[str, ...]
    left: tuple[str, ...]
    turn_deg: tuple[float, float, float]
    spin_deg: float
    approach: tuple[float, float, float]
    contact: tuple[float, float, float] = (0.0, 75.0, 0.0)
    touches: bool = True


_ANY = ("open", "relaxed", "fist", "point", "victory", "pinch", "ok", "grasp", "claw", "flat")
ARRANGEMENTS = {
    # Palms on each other, fingers along: the left hand turned half about y, coming from +z.
    "pray": Arrangement(("press",), ("press",), (0, 180, 0), 20, (0, 0, -1)),
    # The same with the hands across each other and the fingers bent around.
    "clasp": Arrangement(("grasp", "cup", "relaxed"), ("grasp", "cup", "relaxed"), (0, 180, 70), 25, (0, 0, -1)),
    # The left palm on the back of the right hand.
    "cover": Arrangement(("fist", "relaxed", "cup", "flat"), ("cup", "flat", "relaxed"), (0, 0, 0), 60, (0, 0, 1)),
    # The right forefinger on the open left palm.
    "pointpalm": Arrangement(("point",), ("open", "flat", "press"), (90, 0, 0), 90, (0, -1, 0), (24, 100, 0)),
    "fistpalm": Arrangement(("fist",), ("cup", "press", "open"), (90, 0, 0), 90, (0, -1, 0), (0, 60, 20)),
    # Fingertips to fingertips, the hands' fingers pointing at each other.
    "fingertips": Arrangement(
        ("relaxed", "pinch", "point", "grasp", "claw"),
        ("pinch", "grasp", "claw", "fist"),
        (0, 0, 180),
        40,
        (0, -1, 0),
        (5, 130, 20),
    ),
    # Side by side, thumbs together.
    "beside": Arrangement(_ANY, _ANY, (0, 0, 0), 25, (-1, 0, 0), (0, 70, 0)),
    "fists": Arrangement(("fist", "thumbup"), ("fist", "thumbup"), (0, 0, 0), 20, (-1, 0, 0)),
    "cross": Arrangement(_ANY, _ANY, (0, 0, 0), 60, (0, 0, -1), touches=False),
    "crossback": Arrangement(_ANY, _ANY, (0, 180, 0), 60, (0, 0, 1), touches=False),
}


@dataclass(frozen=True)
class Pair:
    """Two posed hands in the frame of the right one.

    Attributes:
        angles_deg: (2, 23) of the right and the left hand.
        turn: (3, 3) rotation of the left hand (a mirrored right hand).
        shift_mm: (3,) place of the left wrist.
        name: Key into `ARRANGEMENTS`.
    """

    angles_deg: Array
    turn: Array
    shift_mm: Array
    name: str


def sample_pair(shape: HandShape, name: str, rng: np.random.Generator) -> Pair:
    """Draw two hands of one subject in one arrangement; the capsules of the two never overlap.

    Raises:
        ValueError: There is no such arrangement.
        RuntimeError: The hands missed each other in `MAX_TRIES` draws.
    """
    if name not in ARRANGEMENTS:
        raise ValueError(f"name: expected one of {', '.join(ARRANGEMENTS)}, got {name!r}")
    plan = ARRANGEMENTS[name]
    for _ in range(MAX_TRIES):
        angles = np.stack([sample_pose(shape, str(rng.choice(families)), rng) for families in (plan.right, plan.left)])
        approach = np.array(plan.approach) + rng.normal(0, 0.1, 3)
        approach /= np.linalg.norm(approach)
        spin = Rotation.from_rotvec(approach * np.radians(rng.uniform(-plan.spin_deg, plan.spin_deg)))
        wobble = Rotation.from_rotvec(np.radians(rng.normal(0, 8, 3)))
        turn = (wobble * spin * Rotation.from_euler("xyz", plan.turn_deg, degrees=True)).as_matrix()
        aim = np.array(plan.contact) * shape.size + rng.normal(0, 9, 3)
        shift = _place(shape, angles, turn, aim, approach, plan.touches, rng)
        if shift is not None:
            return Pair(angles, turn, shift, name)
    raise RuntimeError(f"arrangement {name!r}: the hands missed each other in {MAX_TRIES} draws")


def _place(
    shape: HandShape, angles: Array, turn: Array, aim: Array, approach: Array, touches: bool, rng: np.random.Generator
) -> Array | None:
    """Return where the left wrist goes (3,), or None if the hands miss each other."""
    capsules = hand_capsules(shape)
    poses = [articulate(shape, angle) for angle in angles]
    right, left = (capsules.posed_ends(pose) for pose in poses)
    left = mirror(left) @ turn.T
    left_joints = mirror(poses[LEFT].joints_mm) @ turn.T
    start = aim - left_joints.mean(axis=0) - START_MM * approach
    # A forearm may lie across the way; hands that overlap at the start are drawn again.
    if gap_between(right, capsules.radii_mm, left + start, capsules.radii_mm) < 0:
        return None
    way = slide_to_touch(right, capsules.radii_mm, left + start, capsules.radii_mm, approach, 1.25 * START_MM)
    if way is None:
        return None
    shift = start + way
    hand = capsules.bone != BONE["forearm"]  # forearms that touch are not enough
    if gap_between(right[hand], capsules.radii_mm[hand], left[hand] + shift, capsules.radii_mm[hand]) > MAX_GAP_MM:
        return None
    joints = np.concatenate([poses[RIGHT].joints_mm, left_joints + shift])
    if np.ptp(joints, axis=0).max() > MAX_EXTENT_MM:
        return None
    return shift - (0.0 if touches else rng.uniform(5, 60)) * approach
