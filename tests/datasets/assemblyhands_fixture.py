"""A tiny AssemblyHands (ego, v1.1) in its official layout, with numbers that can be worked out by hand.

Two sequences. In `9012` the headset has moved between the frames 10 and 12. Camera `HMC_84346135`, focal (200, 250),
principal point (318, 240): in frame 10 [R | t] turns the image by 90 degrees, a world point (x, y, z) is at
(-y + 5, x + 6, z + 7) in the camera; in frame 12 there is no turn, and it is at (x, y, z + 100). Camera `HMC_84355350`,
focal (150, 150), principal point (300, 200), sees frame 10 without turn and shift. `9081` has the frames 2 and 4 and a
camera of the other headset.
"""

import copy
import json
from pathlib import Path

import cv2
import numpy as np

from dfmamba.datasets import AssemblyHandsDataset

FIRST = "nusar-2021_action_both_9012-c07c_9012_user_id_2021-02-01_164345"
SECOND = "nusar-2021_action_both_9081-c11b_9081_user_id_2021-02-12_161433"
WIDTH, HEIGHT = 636, 480
UNSET = [1.0, 1.0, 1.0]
RIGHT_WRIST, LEFT_WRIST = 20, 41
CROP = [
    {"type": "mmpose.LoadImage"},
    {"type": "mmpose.GetBBoxCenterScale", "padding": 1.75},
    {"type": "mmpose.TopdownAffine", "input_size": (256, 256)},
]
TURNED = [[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7]]
SHIFTED = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 100]]
PLAIN = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def world(frame: int = 10) -> list[list[float]]:
    """The world coordinates of both hands: thumb tips and wrists can be worked out, x grows by 1 mm each frame."""
    joints = []
    for wrist in ([40.0, 25.0, 393.0], [-60.0, 30.0, 500.0]):
        hand = [[wrist[0] + 4 * i, wrist[1] - 3 * i, wrist[2] + i] for i in range(21)]
        hand[20] = wrist
        joints += hand
    joints[0] = [94.0, 5.0, 493.0]  # right_thumb4: at (0, 100, 500) for the turned camera
    joints[21] = [-30.0, 60.0, 600.0]  # left_thumb4
    return [[x + frame - 10, y, z] for x, y, z in joints]


def image(number: int, sequence: str, camera: str, frame: int) -> dict:
    """One image."""
    return {
        "id": number,
        "file_name": f"ego_images_rectified/val/{sequence}/{camera}_mono10bit/{frame:06d}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
        "seq_name": sequence,
        "camera": camera,
        "frame_idx": frame,
        "timestamp": 1.5,
    }


def annotation(number: int, image_id: int, right, left, not_valid=()) -> dict:
    """One annotation with the two boxes."""
    flags = [0 if joint in not_valid else 1 for joint in range(42)]
    return {
        "id": number,
        "image_id": image_id,
        "bbox": {"right": right, "left": left},
        "joint_valid": flags,
        "keypoints": [[0.0, 0.0, 1.0]] * 42,
    }


def contents() -> dict[str, dict]:
    """The three files: 6 samples, and 2 hands that the rules leave out."""
    images = [
        image(101, FIRST, "HMC_84346135", 10),
        image(102, FIRST, "HMC_84355350", 10),
        image(103, FIRST, "HMC_84346135", 12),
        image(104, SECOND, "HMC_21176875", 2),
        image(105, SECOND, "HMC_21176875", 4),
    ]
    annotations = [
        annotation(11, 101, [300, 220, 420, 300], [10, 20, 110, 220]),
        annotation(12, 102, None, [250.5, 190, 330.5, 260], not_valid=range(21)),
        annotation(13, 103, [600, 400, 636, 420], None, not_valid=(3, *range(21, 42))),  # at the border, small
        annotation(14, 104, [100, 100, 200, 200], [300, 100, 400, 200], not_valid=range(30, 41)),  # left: just 10 valid
        annotation(
            15, 105, [100, 100, 200, 200], [300, 100, 400, 200], not_valid=(*range(12), LEFT_WRIST)
        ),  # right: 9 valid; left: no wrist
    ]
    calibration = {
        FIRST: {
            "intrinsics": {
                "HMC_84346135_mono10bit": [[200, 0, 318], [0, 250, 240], [0, 0, 1]],
                "HMC_84355350_mono10bit": [[150, 0, 300], [0, 150, 200], [0, 0, 1]],
            },
            "extrinsics": {
                "000010": {"HMC_84346135_mono10bit": TURNED, "HMC_84355350_mono10bit": PLAIN},
                "000012": {"HMC_84346135_mono10bit": SHIFTED},
            },
        },
        SECOND: {
            "intrinsics": {"HMC_21176875_mono10bit": [[180, 0, 310], [0, 180, 230], [0, 0, 1]]},
            "extrinsics": {"000002": {"HMC_21176875_mono10bit": PLAIN}, "000004": {"HMC_21176875_mono10bit": PLAIN}},
        },
    }
    joints = {
        sequence: {frame: {"world_coord": world(int(frame)), "joint_valid": [[1]] * 42} for frame in frames}
        for sequence, frames in ((FIRST, ("000010", "000012")), (SECOND, ("000002", "000004")))
    }
    return copy.deepcopy(
        {
            "data": {"images": images, "annotations": annotations},
            "calib": {"calibration": calibration},
            "joint": {"annotations": joints},
        }
    )


def paths(root: Path, split: str = "val") -> list[Path]:
    """The annotation files in the order of `contents`."""
    return [
        root / "annotations" / split / f"assemblyhands_{split}_{name}_v1-1.json"
        for name in ("ego_data", "ego_calib", "joint_3d")
    ]


def write_annotations(root: Path, files: dict[str, dict], split: str = "val") -> None:
    """Write the three files."""
    for path, content in zip(paths(root, split), files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def write_images(root: Path, files: dict[str, dict]) -> None:
    """Write grey images as JPEG with three channels: brightness grows from left to right."""
    for entry in files["data"]["images"]:
        path = root / "images" / entry["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.tile(np.linspace(40, 240, entry["width"]).astype(np.uint8), (entry["height"], 1))
        cv2.imwrite(str(path), np.dstack([grey] * 3))


def open_assemblyhands(root: Path, **arguments) -> AssemblyHandsDataset:
    """Open the data set, its index beside it."""
    return AssemblyHandsDataset(
        **{"split": "val", "data_root": str(root), "cache_dir": str(root / "cache")} | arguments
    )
