"""The named orders of joints, against the names and reorderings that others publish."""

import pytest

from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS, order_of_names
from dfmamba.skeleton import HAND_JOINTS

# As each names them: MediaPipe's enum HandLandmark; COCO-WholeBody's lefthand_kpts; RHD's README.
MEDIAPIPE = """WRIST THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP INDEX_FINGER_MCP INDEX_FINGER_PIP INDEX_FINGER_DIP
    INDEX_FINGER_TIP MIDDLE_FINGER_MCP MIDDLE_FINGER_PIP MIDDLE_FINGER_DIP MIDDLE_FINGER_TIP RING_FINGER_MCP
    RING_FINGER_PIP RING_FINGER_DIP RING_FINGER_TIP PINKY_MCP PINKY_PIP PINKY_DIP PINKY_TIP"""
LEVELS = {"CMC": 1, "MCP": 1, "PIP": 2, "DIP": 3, "IP": 3, "TIP": 4}  # of the thumb, MCP is 2
# MANO's 16 joints and smplx's tips, as HO-3D has them, in FreiHAND's order: HO-3D's jointsMapManoToSimple.
MANO_TO_FREIHAND = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]


def test_named_orders():
    mediapipe = []
    for name in MEDIAPIPE.lower().split():
        finger, _, level = name.replace("_finger", "").partition("_")
        number = 2 if (finger, level) == ("thumb", "mcp") else LEVELS.get(level.upper(), "")
        mediapipe.append(f"{finger}{number}")
    assert [mediapipe[i] for i in JOINT_ORDERS["mediapipe"]] == list(HAND_JOINTS)
    assert order_of_names(mediapipe) == JOINT_ORDERS["mediapipe"]
    for same in ("freihand", "openpose", "coco_wholebody", "dexycb"):
        assert JOINT_ORDERS[same] == JOINT_ORDERS["mediapipe"]
    mano = [f"joint {number}" for number in range(21)]
    freihand = [mano[i] for i in MANO_TO_FREIHAND]
    assert [mano[i] for i in JOINT_ORDERS["mano"]] == [freihand[i] for i in JOINT_ORDERS["freihand"]]
    mine = order_of_names([*HAND_JOINTS[::-1]])
    assert mine == tuple(range(20, -1, -1))
    for order in JOINT_ORDERS.values():
        assert sorted(order) == list(range(21))


def test_minimal_hands_order():
    """MANO's with the tips of index, middle, little, ring finger and thumb, as its `MANOHandJoints` lists them."""
    fingers = ("index", "middle", "pinky", "ring", "thumb")
    names = ["wrist", *(f"{finger}{i}" for finger in fingers for i in (1, 2, 3)), *(f"{finger}4" for finger in fingers)]
    assert [names[i] for i in JOINT_ORDERS["mano_minimal_hand"]] == list(HAND_JOINTS)


def test_other_names_of_joints_are_refused():
    with pytest.raises(ValueError, match=r"joint names: expected thumb4, .* in any order, got wrist, wrist"):
        order_of_names(["wrist"] * 21)
