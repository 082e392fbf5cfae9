"""The orders of a hand's 21 joints that a file may name, and who has them."""

from collections.abc import Sequence

from dfmamba.skeleton import (
    FROM_DEXYCB,
    FROM_MANO,
    FROM_MANO_MINIMAL_HAND,
    FROM_RHD_HAND,
    HAND_JOINTS,
    NUM_HAND_JOINTS,
)

CANONICAL = tuple(range(NUM_HAND_JOINTS))

JOINT_ORDERS = {  # `canonical = joints[JOINT_ORDERS[name]]`
    "dfmamba": CANONICAL,  # ours
    "interhand26m": CANONICAL,  # skeleton.txt of the data set; AssemblyHands
    "mediapipe": FROM_DEXYCB,  # MediaPipe's HandLandmark: WRIST 0, THUMB_CMC 1 ... THUMB_TIP 4 ... PINKY_TIP 20
    "freihand": FROM_DEXYCB,  # training_xyz.json: MANO's joints with each tip behind its finger, the thumb first
    "openpose": FROM_DEXYCB,  # also MPII, Panoptic, OneHand10K
    "coco_wholebody": FROM_DEXYCB,  # lefthand_kpts, righthand_kpts
    "dexycb": FROM_DEXYCB,  # joint_3d
    "mano": FROM_MANO,  # MANO with smplx's tips; HO-3D
    "mano_minimal_hand": FROM_MANO_MINIMAL_HAND,  # MANOHandJoints of minimal-hand
    "rhd": FROM_RHD_HAND,  # one hand of RHD
}


def order_of_names(names: Sequence[str]) -> tuple[int, ...]:
    """Return the permutation that brings joints with these names, `HAND_JOINTS` in any order, into canonical order.

    >>> order_of_names(("wrist", *HAND_JOINTS[:-1])) == JOINT_ORDERS["rhd"]
    True

    Raises:
        ValueError: They are not these names, each once.
    """
    if sorted(names) != sorted(HAND_JOINTS):
        raise ValueError(f"joint names: expected {', '.join(HAND_JOINTS)} in any order, got {', '.join(names)}")
    return tuple(list(names).index(joint) for joint in HAND_JOINTS)
