"""Colours of fingers, joints and hands (RGB, 0-255), shared by every picture and by the data sets' metainfo."""

from dfmamba.skeleton import Skeleton

Color = tuple[int, int, int]

# Light and far apart in hue, so that they can be told apart on skin and on a dark background.
FINGER_COLORS: dict[str, Color] = {
    "thumb": (255, 96, 80),
    "index": (255, 190, 40),
    "middle": (90, 210, 90),
    "ring": (70, 165, 255),
    "pinky": (215, 105, 255),
    "wrist": (235, 235, 235),
}
SIDE_COLORS: dict[str, Color] = {"right": (255, 150, 40), "left": (70, 200, 255)}
GT_COLOR: Color = (0, 0, 0)
OUTLINE_COLOR: Color = (255, 255, 255)


def joint_colors(skeleton: Skeleton) -> list[Color]:
    """Return one colour for every joint: that of its finger, the wrist's for the palm; a bone has its child joint's."""
    fingers = [skeleton.finger_of(joint) for joint in range(skeleton.num_joints)]
    return [FINGER_COLORS.get(finger, FINGER_COLORS["wrist"]) for finger in fingers]
