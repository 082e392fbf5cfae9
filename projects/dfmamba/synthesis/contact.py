"""Hands that touch without passing through: distances between capsules, and moves that stop at contact.

Overlap is measured between the `Capsules`; the skin follows them to about a millimetre.
"""

from itertools import product

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS, HAND_JOINTS
from dfmamba.synthesis.capsules import Capsules, hand_capsules
from dfmamba.synthesis.hand import LIMITS_DEG, NUM_ANGLES, HandShape, articulate
from dfmamba.synthesis.poses import FAMILIES, neutral_angles, sample_angles

SELF_OVERLAP_MM = 3.0  # soft tissue: how far parts of one hand may press into each other
TOUCH_GAP_MM = 1.0  # two hands count as touching when the capsules are this close; they never overlap
PINCH_DRAWS, PINCH_MM = 512, 12.0  # a pinch is the best of this number of draws; distance between the tip joints in it
_STEPS = 17  # of a movement that is tried at once; two rounds leave 1/256 of the way


def segment_distance(ends_a: Array, ends_b: Array) -> tuple[Array, Array, Array]:
    """Return the distance between segments and where it is: (...) mm, and the two places (...) from 0 to 1.

    Args:
        ends_a: (..., 2, 3) ends of the first segments.
        ends_b: (..., 2, 3) ends of the second ones.

    The closest points of two lines, clamped to the segments one after the other (C. Ericson, Real-Time Collision
    Detection, 2005, section 5.1.9).
    """
    start = ends_a[..., 0, :] - ends_b[..., 0, :]
    along_a, along_b = ends_a[..., 1, :] - ends_a[..., 0, :], ends_b[..., 1, :] - ends_b[..., 0, :]
    aa, bb = (np.maximum((v * v).sum(-1), 1e-9) for v in (along_a, along_b))
    ab, a_start, b_start = (along_a * along_b).sum(-1), (along_a * start).sum(-1), (along_b * start).sum(-1)
    determinant = aa * bb - ab * ab
    parallel = determinant < 1e-9 * aa * bb
    s = np.clip((ab * b_start - a_start * bb) / np.where(parallel, 1.0, determinant), 0, 1)
    s = np.where(parallel, 0.0, s)
    t = np.clip((ab * s + b_start) / bb, 0, 1)
    s = np.clip((ab * t - a_start) / aa, 0, 1)
    difference = start + s[..., None] * along_a - t[..., None] * along_b
    return np.sqrt((difference * difference).sum(-1)), s, t


def capsule_gap(ends_a: Array, radii_a: Array, ends_b: Array, radii_b: Array) -> Array:
    """Return the gap (...) in mm between capsules (..., 2, 3) with radii (..., 2); negative where they overlap."""
    distance, s, t = segment_distance(ends_a, ends_b)
    radius_a = radii_a[..., 0] + s * (radii_a[..., 1] - radii_a[..., 0])
    radius_b = radii_b[..., 0] + t * (radii_b[..., 1] - radii_b[..., 0])
    return distance - radius_a - radius_b


def self_pairs(capsules: Capsules) -> np.ndarray:
    """Return the pairs (n, 2) of capsules of one hand that must not pass through each other.

    Parts that grow together are left out: those of one finger, and palm and first segments among themselves.
    """
    first, second = np.triu_indices(len(capsules.bone), 1)
    finger_a, finger_b = capsules.finger[first], capsules.finger[second]
    segment_a, segment_b = capsules.segment[first], capsules.segment[second]
    grown_together = np.maximum(segment_a, segment_b) < 2
    kept = (finger_a != finger_b) & ~grown_together
    return np.stack([first[kept], second[kept]], axis=1)


def self_overlap(capsules: Capsules, ends: Array, pairs: np.ndarray) -> Array:
    """Return how far each pair (..., n) of capsules of posed hands (..., P, 2, 3) overlaps, in mm; 0 if apart."""
    a, b = pairs.T
    gap = capsule_gap(ends[..., a, :, :], capsules.radii_mm[a], ends[..., b, :, :], capsules.radii_mm[b])
    return np.maximum(-gap, 0)


def _furthest(
    shape: HandShape, capsules: Capsules, start: Array, target: Array, columns: list[int], pairs: np.ndarray
) -> Array:
    """Move some angles from start towards target (23,) until a pair of capsules overlaps too much."""
    low, high = 0.0, 1.0
    for _ in range(2):
        shares = np.linspace(low, high, _STEPS)
        trial = np.repeat(start[None], _STEPS, axis=0)
        trial[:, columns] = start[columns] + shares[:, None] * (target - start)[columns]
        overlap = self_overlap(capsules, capsules.posed_ends(articulate(shape, trial)), pairs).max(axis=-1)
        bad = np.flatnonzero(overlap > SELF_OVERLAP_MM)
        if not len(bad):
            return trial[-1]
        if bad[0] == 0:
            return trial[0]
        low, high = shares[bad[0] - 1], shares[bad[0]]
        best = trial[bad[0] - 1]
    return best


def fingers_fit(shape: HandShape) -> bool:
    """Whether straight fingers keep clear of each other, however wrist and palm are bent: see `settle_fingers`."""
    capsules = hand_capsules(shape)
    ends_of_range = np.array(list(product(*LIMITS_DEG[4 * len(FINGERS) :])))  # wrist and palm
    angles = np.zeros((len(ends_of_range), NUM_ANGLES))
    angles[:, 4 * len(FINGERS) :] = ends_of_range
    ends = capsules.posed_ends(articulate(shape, neutral_angles(angles)))
    return bool(self_overlap(capsules, ends, self_pairs(capsules)).max() <= SELF_OVERLAP_MM)


def settle_fingers(shape: HandShape, capsules: Capsules, target: Array) -> Array:
    """Close the fingers, then the thumb, from straight towards a pose (23,), each until it meets another part.

    Returns:
        (23,) degrees, on the way from straight fingers to the pose, so within the limits if the pose is.

    Raises:
        ValueError: Even the straight fingers of this shape are deep in each other.
    """
    pairs = self_pairs(capsules)
    angles = neutral_angles(target)
    overlap = self_overlap(capsules, capsules.posed_ends(articulate(shape, angles)), pairs).max()
    if overlap > SELF_OVERLAP_MM:
        raise ValueError(
            f"shape: expected straight fingers to overlap by {SELF_OVERLAP_MM} mm at most, "
            f"got {overlap:.1f} mm: too thick for its width"
        )
    thumb = FINGERS.index("thumb")
    for finger in [index for index in range(len(FINGERS)) if index != thumb] + [thumb]:
        own_pairs = pairs[(capsules.finger[pairs] == finger).any(axis=1)]
        own_angles = list(range(4 * finger, 4 * finger + 4))
        angles = _furthest(shape, capsules, angles, target, own_angles, own_pairs)
    return angles


def sample_pose(shape: HandShape, family: str, rng: np.random.Generator) -> Array:
    """Draw a pose (23,) in degrees of one family in which no part of the hand is deep in another."""
    return settle_fingers(shape, hand_capsules(shape), _draw(shape, family, rng))


def _draw(shape: HandShape, family: str, rng: np.random.Generator) -> Array:
    """Draw one pose (23,); for a pinch the draw of many whose two tips are best placed."""
    finger = FAMILIES[family].pinch
    if finger is None:
        return sample_angles(family, rng, 1)[0]
    angles = sample_angles(family, rng, PINCH_DRAWS)
    joints = articulate(shape, angles).joints_mm
    tips = joints[:, [HAND_JOINTS.index("thumb4"), HAND_JOINTS.index(f"{finger}4")]]
    return angles[np.abs(np.linalg.norm(tips[:, 0] - tips[:, 1], axis=-1) - PINCH_MM).argmin()]


def gap_between(ends_a: Array, radii_a: Array, ends_b: Array, radii_b: Array) -> float:
    """Return the smallest gap in mm between two posed hands' capsules (P, 2, 3), (P, 2) and (Q, 2, 3), (Q, 2)."""
    return float(capsule_gap(ends_a[:, None], radii_a[:, None], ends_b[None], radii_b[None]).min())


def slide_to_touch(
    ends_a: Array, radii_a: Array, ends_b: Array, radii_b: Array, direction: Array, travel_mm: float
) -> Array | None:
    """Move hand b along a direction until it touches hand a.

    Each step is as long as the present gap, so nothing can be jumped over.

    Args:
        ends_a: (P, 2, 3) capsules of the resting hand, with radii (P, 2).
        radii_a: See `ends_a`.
        ends_b: (Q, 2, 3) capsules of the moving hand, apart from the first, with radii (Q, 2).
        radii_b: See `ends_b`.
        direction: (3,) unit vector.
        travel_mm: The longest way to try.

    Returns:
        The shift (3,) in mm that leaves a gap of 0 to `TOUCH_GAP_MM`, or None if the hands miss each other.
    """
    shift = 0.0
    while shift <= travel_mm:
        gap = gap_between(ends_a, radii_a, ends_b + shift * direction, radii_b)
        if gap < 0:
            return None
        if gap <= TOUCH_GAP_MM:
            return shift * direction
        shift += gap - 0.5 * TOUCH_GAP_MM
    return None
