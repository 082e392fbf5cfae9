"""Whether joints are in the order that they should be in, and hands of the side that they are said to be.

The bones of a hand tell the order: a finger's bone in the palm is twice to four times as long as any other one, and the
next ones become shorter towards the tip. Lengths are compared with those of hands in general, whatever a hand's size,
and where the joints fit another order much better, that order is named. The side shows in the way in which fingers
bend: towards the palm.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfmamba.skeleton import (
    FINGERS,
    FROM_DEXYCB,
    FROM_MANO,
    FROM_RHD_HAND,
    HAND_BONES_MM,
    HAND_JOINTS,
    NUM_HAND_JOINTS,
    NYU_14,
    ONE_HAND,
    WRIST,
    Skeleton,
    inverse,
)

# As `HAND_BONES_MM`, of NYU's points, by the end nearer the tip.
NYU_BONES_MM = {
    "thumb_tip": 27,
    "thumb_mid": 30,
    "thumb_root": 51,
    "wrist_back": 48,
    "wrist": 44,
    "pinky_tip": 35,
    **{f"{finger}_tip": 44 for finger in FINGERS[1:4]},
    **{f"{finger}_mid": 70 for finger in FINGERS[1:]},
}
MAX_FACTOR = 2.5  # between a bone's median length and what the other bones let expect
MIN_BONES = 10  # fewer say nothing about the order
WORSE_FIT = 1.5  # another order must fit so much better
GOOD_FIT = 0.2  # of natural logarithms: InterHand2.6M's hands are at 0.03, RHD's at 0.11, wrong orders at 0.25 to 0.9
MIN_VOTES, WRONG_VOTES = 5, 0.9  # hands whose fingers bend, and the share of them that bend the wrong way
BENT = 0.2  # how far tips are in front of the palm, as a part of the palm's length


class Bones(NamedTuple):
    """Median lengths of the bones of some hands.

    Attributes:
        names: Of the joint at the end that is nearer the tip.
        lengths_mm: (bones,), NaN where no hand has both ends.
        factors: (bones,), by which a length differs from what the other bones let expect.
    """

    names: tuple[str, ...]
    lengths_mm: NDArray[np.float64]
    factors: NDArray[np.float64]

    @property
    def misfit(self) -> float:
        """Root mean square of the factors' logarithms; infinite where fewer than `MIN_BONES` are known."""
        known = np.isfinite(self.factors)
        return float(np.sqrt(np.mean(np.log(self.factors[known]) ** 2))) if known.sum() >= MIN_BONES else np.inf


def other_orders() -> dict[str, tuple[int, ...]]:
    """Return what may have been mixed up, and the permutation that puts it right: `joints[permutation]`."""
    fingers = [tuple(HAND_JOINTS.index(f"{finger}{i}") for i in (4, 3, 2, 1)) for finger in FINGERS]
    base_first = (*(joint for finger in fingers for joint in finger[::-1]), WRIST)
    pinky_first = (*(joint for finger in fingers[::-1] for joint in finger), WRIST)
    wrist_first = inverse(FROM_RHD_HAND)
    orders = {
        "fingers from base to tip where the layout has them from tip to base (or the other way round)": base_first,
        "the pinky first where the layout has the thumb first": pinky_first,
        "the wrist last where the layout has it first": wrist_first,
        "the wrist first where the layout has it last": FROM_RHD_HAND,
        "the wrist first and fingers from base to tip, as OpenPose and DexYCB have them": FROM_DEXYCB,
    }
    for layout, reading in (("this layout", range(NUM_HAND_JOINTS)), ("RHD", FROM_RHD_HAND), ("DexYCB", FROM_DEXYCB)):
        orders[f"MANO's order in place of {layout}'s"] = tuple(inverse(tuple(reading))[joint] for joint in FROM_MANO)
    return orders


def typical_lengths_mm(skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the length (bones,) that each bone of one hand, or of NYU, typically has."""
    by_name: Mapping[str, float] = (
        NYU_BONES_MM
        if skeleton is NYU_14
        else {f"{finger}{i}": HAND_BONES_MM[finger][i - 1] for finger in FINGERS for i in range(1, 5)}
    )
    return np.array([by_name[skeleton.names[child]] for child, _ in skeleton.bones], dtype=np.float64)


def measure_bones(joints_mm: NDArray[np.float64], valid: NDArray[np.bool_], skeleton: Skeleton = ONE_HAND) -> Bones:
    """Return the median bones of hands (n, K, 3), whose joints are valid or not (n, K)."""
    child, parent = np.array(skeleton.bones).T
    lengths = np.linalg.norm(joints_mm[:, child] - joints_mm[:, parent], axis=-1)
    known = valid[:, child] & valid[:, parent]
    median = np.array(
        [np.median(column[there]) if there.any() else np.nan for column, there in zip(lengths.T, known.T, strict=True)]
    )
    ratio = np.maximum(median, 1e-6) / typical_lengths_mm(skeleton)
    scale = np.nanmedian(ratio) if np.isfinite(ratio).any() else 1.0
    return Bones(tuple(skeleton.names[joint] for joint in child), median, ratio / scale)


def find_other_order(
    joints_mm: NDArray[np.float64], valid: NDArray[np.bool_], orders: Mapping[str, tuple[int, ...]] | None = None
) -> str:
    """Say what is mixed up in hands (n, 21, 3); an empty text where the canonical order fits best.

    Args:
        joints_mm: (n, 21, 3).
        valid: (n, 21).
        orders: What may have been meant, and the permutation that puts it right; `other_orders` by default.
    """
    misfit = measure_bones(joints_mm, valid).misfit
    fits = {
        name: measure_bones(joints_mm[:, list(order)], valid[:, list(order)]).misfit
        for name, order in (orders or other_orders()).items()
    }
    best = min(fits, key=fits.__getitem__)
    return best if GOOD_FIT < misfit < np.inf and fits[best] * WORSE_FIT < misfit else ""


def bends_to_the_left(joints_mm: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far the tips of hands (n, 21, 3) are in front of the palm of a left hand, in lengths of the palm.

    The palm's normal is (index1 - wrist) x (pinky1 - wrist), which points out of the palm of a right hand in our frame
    (x right, y down, z forward), and out of the back of a left one. It is a mean over the fingers whose ends are valid;
    NaN for fewer than two of them, or without a palm.
    """

    def at(name: str) -> NDArray[np.float64]:
        return np.where(valid, 1, np.nan)[:, HAND_JOINTS.index(name), None] * joints_mm[:, HAND_JOINTS.index(name)]

    wrist, palm = at("wrist"), at("index1") - at("wrist")
    normal = np.cross(palm, at("pinky1") - wrist)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    fingers = np.stack([((at(f"{finger}4") - at(f"{finger}1")) * normal).sum(axis=1) for finger in FINGERS[1:]])
    known = np.isfinite(fingers)
    mean = np.where(known, fingers, 0).sum(axis=0) / np.where(known.sum(axis=0) > 1, known.sum(axis=0), np.nan)
    bend: NDArray[np.float64] = -mean / np.linalg.norm(palm, axis=1)
    return bend


def count_wrong_bends(
    joints_mm: NDArray[np.float64], valid: NDArray[np.bool_], is_left: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return of how many hands (n, 21, 3) the fingers bend backwards, and of how many they bend at all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        bend = np.where(is_left, 1, -1) * bends_to_the_left(joints_mm, valid)
    return int((bend < -BENT).sum()), int((np.abs(bend) > BENT).sum())


def describe_unlikely_bones(bones: Bones) -> str:
    """Return the bones that are too short or too long beside the others; an empty text without any."""
    factors = np.nan_to_num(bones.factors, nan=1.0)
    unlikely = np.flatnonzero((factors > MAX_FACTOR) | (factors < 1 / MAX_FACTOR))
    return ", ".join(
        f"{bones.names[i]} with {bones.lengths_mm[i]:.3g} mm where the others let expect "
        f"{bones.lengths_mm[i] / factors[i]:.0f}"
        for i in unlikely[:3]
    )
