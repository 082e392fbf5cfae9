"""A hand as tapered capsules around its bones: one table for the skin (`surface`) and for contact (`contact`).

A capsule is the hull of two balls. It is fixed to one bone, so a posed hand's capsules come from one small product.
Breadths are rounded from anthropometric tables of adult hands (finger breadth at the middle and end joint).
"""

from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.hand import BONE, SEGMENTS, Articulation, HandShape, thumb_base

PALM = -1  # stands for "no finger" in `Capsules.finger`
# Radii at joint 1, 2, 3 and in the fingertip, mm.
FINGER_RADII_MM = np.array(
    [
        [12.8, 11.7, 10.9, 8.9],
        [10.9, 10.0, 8.9, 7.8],
        [11.1, 10.1, 9.0, 7.9],
        [10.7, 9.6, 8.6, 7.6],
        [9.7, 8.5, 7.7, 6.9],
    ]
)
TIP_SKIN_MM = 3.5  # skin in front of the tip joint
PAD_MM = 1.2  # how far the pads of the fingers lie towards the palm
FOREARM_MM = 300.0


@dataclass(frozen=True)
class Capsules:
    """Capsules of one hand, each in the frame of its bone.

    Attributes:
        bone: (P,) index into `hand.BONES`.
        finger: (P,) index into `skeleton.FINGERS`, or `PALM` (palm and forearm).
        segment: (P,) 1, 2, 3 along a finger; 0 for palm and forearm.
        ends_mm: (P, 2, 3) centers of both balls.
        radii_mm: (P, 2) radii of both balls.
        is_pad: (P,) whether the capsule only rounds off another one (pads of the fingers).
    """

    bone: np.ndarray
    finger: np.ndarray
    segment: np.ndarray
    ends_mm: Array
    radii_mm: Array
    is_pad: np.ndarray

    def posed_ends(self, pose: Articulation) -> Array:
        """Return the balls' centers (..., P, 2, 3) in mm in the frame of a posed hand."""
        turned = np.einsum("...pij,pej->...pei", pose.rotations[..., self.bone, :, :], self.ends_mm)
        return turned + pose.origins_mm[..., self.bone, None, :]


def _palm_capsules(shape: HandShape) -> list[tuple]:
    """Return a slab of metacarpals with one between each two, the ball of the little finger and the forearm.

    Given in the hand frame, in which these bones rest unturned.
    """
    size, girth = shape.size, shape.girth
    carpals = np.array([[15.0, 8.0, 2.0], [5.0, 8.0, 1.0], [-6.0, 8.0, 1.0], [-16.0, 8.0, 3.0]]) * size
    heads = shape.knuckles_mm[1:] * np.array([1.0, 0.97, 1.0])
    radii = FINGER_RADII_MM[1:, 0] * np.array([1.08, 1.1, 1.1, 1.1])
    bones = ["palm", "palm", "ring_metacarpal", "pinky_metacarpal"]
    rows = []
    for k in range(4):
        rows.append((bones[k], carpals[k], heads[k], 14.0, radii[k]))
    for k in range(3):
        between = (heads[k] + heads[k + 1]) / 2 - np.array([0.0, 3.0, 0.0])
        rows.append((bones[k], (carpals[k] + carpals[k + 1]) / 2, between, 14.0, (radii[k] + radii[k + 1]) / 2))
    rows.append(
        ("pinky_metacarpal", np.array([-20.0, 16.0, 7.0]) * size, np.array([-33.0, 50.0, 8.0]) * size, 13.5, 12.0)
    )
    for x in (-1.0, 0.0, 1.0):
        rows.append(
            ("forearm", np.array([10.0 * x, 0.0, 0.0]) * size, np.array([9.0 * x, -35.0, -1.0]) * size, 17.0, 18.0)
        )
        rows.append(
            (
                "forearm",
                np.array([9.0 * x, -35.0, -1.0]) * size,
                np.array([14.0 * x, -FOREARM_MM, 0.0]) * size,
                18.0,
                36.0,
            )
        )
    return [(BONE[bone], PALM, 0, start, end, r0 * girth, r1 * girth, False) for bone, start, end, r0, r1 in rows]


def _thumb_ball(shape: HandShape) -> list[tuple]:
    """Return the flesh around the thumb's first bone and the web to the palm, which follows the thumb half-way.

    Given in the hand frame with the thumb at angle zero.
    """
    size, girth, thumb = shape.size, shape.girth, FINGERS.index("thumb")
    rows = [
        ("thumb1", [21.0, 24.0, 20.0], [38.0, 45.0, 27.0], 15.0, 12.0),
        ("half_thumb1", [14.0, 20.0, 12.0], [27.0, 44.0, 16.0], 15.0, 12.0),
        ("half_thumb1", [15.0, 28.0, 8.0], [32.0, 52.0, 13.0], 13.0, 8.0),
        ("half_thumb1", [16.0, 40.0, 6.0], [28.0, 62.0, 8.0], 12.0, 8.0),
    ]
    frame, origin = thumb_base(), shape.knuckles_mm[thumb]
    return [
        (
            BONE[bone],
            thumb,
            1,
            (np.array(start) * size - origin) @ frame,
            (np.array(end) * size - origin) @ frame,
            r0 * girth,
            r1 * girth,
            bone != "thumb1",
        )
        for bone, start, end, r0, r1 in rows
    ]


def _finger_capsules(shape: HandShape, finger: int) -> list[tuple]:
    """Return two capsules for each bone of one finger: the bone from joint to joint, and the pad on its palm side."""
    rows = []
    for segment in range(1, SEGMENTS + 1):
        bone = BONE[f"{FINGERS[finger]}{segment}"]
        r0, r1 = FINGER_RADII_MM[finger, segment - 1 : segment + 1] * shape.girth
        length = shape.segments_mm[finger, segment - 1]
        if segment == SEGMENTS:
            length += TIP_SKIN_MM - r1
        rows.append((bone, finger, segment, np.zeros(3), np.array([0.0, length, 0.0]), r0, r1, False))
        pad = np.array([[0.0, 0.25 * length, PAD_MM], [0.0, 0.75 * length, PAD_MM]])
        rows.append((bone, finger, segment, pad[0], pad[1], 0.75 * r0 + 0.25 * r1, 0.25 * r0 + 0.75 * r1, True))
    return rows


def hand_capsules(shape: HandShape) -> Capsules:
    """Return the capsules of one subject's hand: palm and forearm first, then finger by finger."""
    rows = _palm_capsules(shape)
    for finger in range(len(FINGERS)):
        rows += _finger_capsules(shape, finger)
    rows += _thumb_ball(shape)
    bone, fingers, segment, start, end, r0, r1, is_pad = zip(*rows, strict=True)
    return Capsules(
        np.array(bone),
        np.array(fingers),
        np.array(segment),
        np.stack([start, end], axis=1),
        np.stack([r0, r1], axis=1),
        np.array(is_pad),
    )
