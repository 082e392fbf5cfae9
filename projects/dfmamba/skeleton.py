"""Joint names, orders, roots, bones and the left/right swap: the only place with joint numbers.

Canonical order, that of InterHand2.6M (source: the `skeleton.txt` of that data set): in one hand 21 joints, finger by
finger from the thumb to the pinky, each from the tip (4) to the knuckle next to the palm (1), the wrist last. Two hands
are 42 joints, the right hand first. Other orders come with a permutation `FROM_...`: `canonical = joints[FROM_...]`,
and `joints = canonical[inverse(FROM_...)]`. NYU's 14 joints stay as they are: they are other points of the hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINTS_PER_FINGER = 4

HAND_JOINTS = (*(f"{finger}{i}" for finger in FINGERS for i in (4, 3, 2, 1)), "wrist")
NUM_HAND_JOINTS = len(HAND_JOINTS)
WRIST = HAND_JOINTS.index("wrist")

# Lengths in mm from the wrist to the tip, of a hand of 180 mm: the phalanges of Buryanov and Kotiuk (2010) with the
# soft tissue of the tip, which agree with joints of InterHand2.6M to 3 mm.
HAND_BONES_MM = {
    "thumb": (38, 38, 32, 27),
    "index": (88, 40, 25, 22),
    "middle": (86, 43, 29, 23),
    "ring": (83, 38, 27, 23),
    "pinky": (79, 31, 20, 19),
}
# The size of a hand where nobody says another.
USUAL_BONE, USUAL_BONE_MM = ("wrist", "middle1"), 86.0

SIDES = ("right", "left")
RIGHT, LEFT = 0, 1


@dataclass(frozen=True)
class Skeleton:
    """A joint set in canonical order.

    Attributes:
        names: Name of every joint, such as `right_thumb4`.
        parents: Index of every joint's parent; a root has -1.
        roots: Index of each hand's root (wrist), in the order of the hands.
        flip: Index of every joint's mirror image; `joints[flip]` swaps the hands.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    roots: tuple[int, ...]
    flip: tuple[int, ...]

    @property
    def num_joints(self) -> int:
        """Number of joints."""
        return len(self.names)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (child, parent), one for every joint that has a parent."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def root_of_joint(self) -> tuple[int, ...]:
        """Index of the root of the hand that each joint belongs to.

        Raises:
            ValueError: This joint set has no root (NYU).
        """
        if not self.roots:
            raise ValueError(f"root_of_joint: expected a joint set with a root for each hand, got {self.names}")
        return tuple(self.roots[joint // NUM_HAND_JOINTS] for joint in range(self.num_joints))

    def finger_of(self, joint: int) -> str:
        """Return the finger that a joint belongs to; `wrist` for the others, and `palm` for NYU's palm."""
        name = self.names[joint]
        return next((part for part in (*FINGERS, "palm") if part in name), "wrist")


def _hand_parents(start: int) -> list[int]:
    """Return the parents of one hand whose joints begin at index `start`."""
    parents = []
    for joint in range(WRIST):
        is_knuckle = joint % JOINTS_PER_FINGER == JOINTS_PER_FINGER - 1
        parents.append(start + (WRIST if is_knuckle else joint + 1))
    return [*parents, -1]


ONE_HAND = Skeleton(
    names=HAND_JOINTS,
    parents=tuple(_hand_parents(0)),
    roots=(WRIST,),
    flip=tuple(range(NUM_HAND_JOINTS)),
)
TWO_HANDS = Skeleton(
    names=tuple(f"{side}_{joint}" for side in SIDES for joint in HAND_JOINTS),
    parents=tuple(_hand_parents(0) + _hand_parents(NUM_HAND_JOINTS)),
    roots=(WRIST, NUM_HAND_JOINTS + WRIST),
    flip=(*range(NUM_HAND_JOINTS, 2 * NUM_HAND_JOINTS), *range(NUM_HAND_JOINTS)),
)

# NYU (Tompson et al. 2014), the 36 points in `joint_data.mat`: F1 is the pinky, F4 the index finger, KNU3_A a tip.
NYU_36_NAMES = (
    *(
        f"{finger}_KNU{knuckle}_{end}"
        for finger in ("F1", "F2", "F3", "F4", "TH")
        for knuckle in (3, 2, 1)
        for end in "AB"
    ),
    *(f"PALM_{i}" for i in range(1, 7)),
)
NYU_14_OF_36 = (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)  # the 14 that everybody evaluates, in their order
_NYU_PALM = 13
NYU_14 = Skeleton(
    names=(
        "pinky_tip",
        "pinky_mid",
        "ring_tip",
        "ring_mid",
        "middle_tip",
        "middle_mid",
        "index_tip",
        "index_mid",
        "thumb_tip",
        "thumb_mid",
        "thumb_root",
        "wrist_back",
        "wrist",
        "palm",
    ),
    parents=(1, _NYU_PALM, 3, _NYU_PALM, 5, _NYU_PALM, 7, _NYU_PALM, 9, 10, _NYU_PALM, _NYU_PALM, _NYU_PALM, -1),
    roots=(),
    flip=tuple(range(14)),
)

# One hand, wrist first, each finger from the base to the tip: DexYCB, MPII, OpenPose, minimal-hand.
FROM_DEXYCB = (4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17, 0)
# MANO's own 16 joints, wrist first, each finger from the base, the pinky before the ring finger and the thumb last;
# then the five tips from the thumb on, as its users add them.
_MANO_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_MANO_NAMES = (
    "wrist",
    *(f"{finger}{i}" for finger in _MANO_FINGERS for i in (1, 2, 3)),
    *(f"{finger}4" for finger in FINGERS),
)
FROM_MANO = tuple(_MANO_NAMES.index(joint) for joint in HAND_JOINTS)
# minimal-hand's `MANOHandJoints`: the same joints, with the tips in the order of MANO's fingers.
FROM_MANO_MINIMAL_HAND = tuple(
    (*_MANO_NAMES[: -len(FINGERS)], *(f"{finger}4" for finger in _MANO_FINGERS)).index(joint) for joint in HAND_JOINTS
)
# One hand of RHD, wrist first, each finger from the tip to the base; and RHD's two hands, the LEFT one first.
FROM_RHD_HAND = (*range(1, NUM_HAND_JOINTS), 0)
FROM_RHD = (*(NUM_HAND_JOINTS + joint for joint in FROM_RHD_HAND), *FROM_RHD_HAND)


def spread_over_joints(of_hands: Sequence[float], num_joints: int) -> list[float]:
    """Return values of [right, left] hand, one for each joint of two hands; of one hand, the larger of the two.

    >>> spread_over_joints((1, 0), 21) == [1] * 21, spread_over_joints((1, 0), 42) == [1] * 21 + [0] * 21
    (True, True)
    """
    if num_joints == TWO_HANDS.num_joints:
        return [value for value in of_hands for _ in range(NUM_HAND_JOINTS)]
    return [max(of_hands)] * num_joints


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that undoes another one.

    >>> inverse((2, 0, 1))
    (1, 2, 0)
    """
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def hand_slice(side: int) -> slice:
    """Return the block of one hand (`RIGHT` or `LEFT`) in the two-hand order."""
    return slice(side * NUM_HAND_JOINTS, (side + 1) * NUM_HAND_JOINTS)


def skeleton_with(num_joints: int) -> Skeleton:
    """Return the skeleton with this number of joints: one hand (21), two (42) or NYU's 14.

    Raises:
        ValueError: There is no skeleton with that number of joints.
    """
    for skeleton in (ONE_HAND, TWO_HANDS, NYU_14):
        if skeleton.num_joints == num_joints:
            return skeleton
    raise ValueError(
        f"num_joints: expected {ONE_HAND.num_joints} (one hand), {TWO_HANDS.num_joints} (two) or "
        f"{NYU_14.num_joints} (NYU), got {num_joints}"
    )


def mmpose_metainfo(skeleton: Skeleton, dataset_name: str, colors: Sequence[Sequence[int]]) -> dict:
    """Return the `metainfo` dictionary that mmpose's data sets expect.

    Args:
        skeleton: The joint set.
        dataset_name: Name that mmpose shows.
        colors: One RGB colour (0-255) for every joint.
    """
    names, mirrored = skeleton.names, [skeleton.names[i] for i in skeleton.flip]
    return {
        "dataset_name": dataset_name,
        "paper_info": {},
        "keypoint_info": {
            i: {"name": name, "id": i, "color": list(colors[i]), "type": "", "swap": mirror if mirror != name else ""}
            for i, (name, mirror) in enumerate(zip(names, mirrored, strict=True))
        },
        "skeleton_info": {
            i: {"link": (names[parent], names[child]), "id": i, "color": list(colors[child])}
            for i, (child, parent) in enumerate(skeleton.bones)
        },
        "joint_weights": [1.0] * skeleton.num_joints,
        "sigmas": [1.0] * skeleton.num_joints,
    }
