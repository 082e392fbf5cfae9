"""AssemblyHands' sequences and the headset that they are taken with: four monochrome cameras that move with the head.

Names and image size are official. Where the cameras are on the headset, how they are turned and their focal length are
made up. World: that of `person`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array
from dfmamba.synthesis.output import generator_for
from dfmamba.synthesis.scene import Camera, aim

CODES = {
    "train": (
        "9014-a23",
        "9015-b05b",
        "9026-c12b",
        "9034-c08b",
        "9041-c07c",
        "9051-c10a",
        "9053-c08b",
        "9054-c01a",
        "9062-a21",
        "9071-c14a",
        "9072-c10a",
        "9075-c08b",
        "9076-c13d",
        "9085-c10a",
    ),
    "val": ("9012-c07c", "9081-c11b"),
    "test": ("9021-c10a", "9034-c08b", "9061-c13d", "9074-a29"),
}
# Views e1 to e4. Sequence 9012-c07c has headset B, 9081-c11b headset A; we do not know about the others: in turns.
HEADSETS = {
    "A": ("HMC_21176875", "HMC_21176623", "HMC_21110305", "HMC_21179183"),
    "B": ("HMC_84346135", "HMC_84347414", "HMC_84355350", "HMC_84358933"),
}
SIZE = (480, 636)  # height, width
FOCAL_PX = 320.0
# Of each view in the head's frame (x right, y down, z forward): place in mm; turn to the right and down in degrees.
MOUNTS = (((-62, 22, 0), (-24, 10)), ((62, 22, 0), (24, 10)), ((-48, -24, 0), (-8, -6)), ((48, -24, 0), (8, -6)))
HEAD_MM = np.array([0.0, -165.0, -125.0])  # the middle of the headset
GAZE_MM = np.array([0.0, 220.0, -390.0])  # where it looks, about
NEAREST_MM = 60.0


class Mount(NamedTuple):
    """How a camera is fixed to the headset.

    Attributes:
        name: Of the camera, as in the annotations.
        place_mm: (3,) in the head's frame: x right, y down, z forward.
        rotation: (3, 3) from the head's frame to the camera's.
        focal_px: (2,).
        principal_point_px: (2,).
    """

    name: str
    place_mm: Array
    rotation: Array
    focal_px: Array
    principal_point_px: Array


def sequence_name(split: str, sequence: int) -> str:
    """Return a name in the official form, but for the date."""
    code = CODES[split][sequence]
    return f"nusar-2021_action_both_{code}_{code[:4]}_user_id_synthetic_{split}"


@lru_cache(maxsize=16)
def make_mounts(seed: int, split: str, sequence: int) -> tuple[Mount, ...]:
    """Draw how the four cameras of a sequence are fixed to the headset."""
    rng = generator_for(seed, split, "cameras", sequence)
    mounts = []
    for name, (place, (yaw, pitch)) in zip(HEADSETS["BA"[sequence % 2]], MOUNTS, strict=True):
        turn = Rotation.from_euler("yx", [yaw + rng.normal(0, 1), -pitch + rng.normal(0, 1)], degrees=True)
        mounts.append(
            Mount(
                name,
                np.array(place) + rng.normal(0, 1, 3),
                turn.as_matrix().T,
                FOCAL_PX + rng.normal(0, 3, 2),
                np.array(SIZE[::-1]) / 2 + rng.normal(0, 4, 2),
            )
        )
    return tuple(mounts)


def sample_headset(mounts: Sequence[Mount], rng: np.random.Generator) -> list[Camera]:
    """Draw where the head is at a moment; return the cameras."""
    place, gaze = HEAD_MM + rng.normal(0, 15, 3), GAZE_MM + rng.normal(0, (60, 40, 60))
    head = Rotation.from_euler("z", rng.normal(0, 5), degrees=True).as_matrix() @ aim(place, gaze)
    return [
        Camera(
            mount.name,
            place + mount.place_mm @ head,
            mount.rotation @ head,
            mount.focal_px,
            mount.principal_point_px,
            SIZE,
            True,
            np.ones(3),
            NEAREST_MM,
        )
        for mount in mounts
    ]


def world_to_camera_matrix(camera: Camera) -> Array:
    """Return [R|t] (3, 4), X_camera = R X + t in mm."""
    return np.column_stack([camera.rotation, -camera.rotation @ camera.center_mm])
