"""A tiny InterHand2.6M in its official layout, with numbers that can be worked out by hand.

Capture 0 has two cameras. `400001`: its center is (10, 20, 30), the image is the world turned by 90 degrees, so a world
point (x, y, z) is at (20 - y, x - 10, z - 30) in the camera; focal (1000, 1200), principal point (100, 200), portrait
images. `400002`: no turn, no shift; focal (500, 500), principal point (50, 60), landscape images.
"""

import copy
import json
from pathlib import Path

import cv2
import numpy as np

PORTRAIT, LANDSCAPE = (334, 512), (512, 334)  # width, height
UNSET = [1.0, 1.0, 1.0]  # what the data set writes for joints that are not annotated
RIGHT_JOINTS, LEFT_JOINTS = range(21), range(21, 42)
RIGHT_WRIST, LEFT_WRIST = 20, 41

CAMERAS = {
    "0": {
        "campos": {"400001": [10, 20, 30], "400002": [0, 0, 0]},
        "camrot": {"400001": [[0, -1, 0], [1, 0, 0], [0, 0, 1]], "400002": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]},
        "focal": {"400001": [1000, 1200], "400002": [500, 500]},
        "princpt": {"400001": [100, 200], "400002": [50, 60]},
    }
}


def world(frame: int) -> list[list[float]]:
    """The world coordinates of both hands in a frame."""
    joints = []
    for wrist in ([10.0, 20.0, 1030.0], [-90.0, 120.0, 930.0]):
        hand = [[wrist[0] + 3 * i + frame, wrist[1] - 2 * i, wrist[2] + i] for i in range(21)]
        hand[20] = wrist
        joints += hand
    joints[0] = [60.0, 20.0, 1030.0]  # right_thumb4: camera 400001 sees it at (0, 50, 1000)
    joints[4] = [10.0, -80.0, 1080.0]  # right_index4: camera 400001 sees it at (100, 0, 1050)
    return joints


def record(number, frame, camera, size, hand_type, invalid=(), hand_type_valid=1):
    """One image and its annotation; joints of an absent hand and `invalid` ones are not valid."""
    absent = {"right": LEFT_JOINTS, "left": RIGHT_JOINTS, "interacting": ()}[hand_type]
    flags = [[0 if joint in absent or joint in invalid else 1] for joint in range(42)]
    image = {
        "id": 1000 + number,
        "file_name": f"Capture0/0001_fist/cam{camera}/image{frame}.png",
        "width": size[0],
        "height": size[1],
        "capture": 0,
        "subject": 7,
        "seq_name": "0001_fist",
        "camera": camera,
        "frame_idx": frame,
    }
    annotation = {
        "id": number,
        "image_id": 1000 + number,
        "bbox": [10.0, 20.0, 100.0, 60.0],
        "joint_valid": flags,
        "hand_type": hand_type,
        "hand_type_valid": hand_type_valid,
    }
    return image, annotation


def contents() -> dict[str, dict]:
    """The three files: 4 usable records (11 right, 12 left, 13 and 14 interacting), 2 that are skipped."""
    records = [
        record(11, 3, "400001", PORTRAIT, "right"),
        record(12, 6, "400002", LANDSCAPE, "left"),
        record(13, 9, "400001", PORTRAIT, "interacting", invalid=(0, 22), hand_type_valid=0),
        record(14, 12, "400001", PORTRAIT, "interacting", invalid=(RIGHT_WRIST,)),
        record(15, 15, "400001", PORTRAIT, "right", invalid=(RIGHT_WRIST,)),
        record(16, 18, "400002", LANDSCAPE, "left", invalid=range(42)),
    ]
    frames = {}
    for image, annotation in records:
        coordinates = world(image["frame_idx"])
        coordinates = [
            xyz if flag == [1] else UNSET for xyz, flag in zip(coordinates, annotation["joint_valid"], strict=True)
        ]
        frames[str(image["frame_idx"])] = {
            "world_coord": coordinates,
            "joint_valid": annotation["joint_valid"],
            "seq": "a key nobody asked for",
            "hand_type": annotation["hand_type"],
            "hand_type_valid": annotation["hand_type_valid"],
        }
    data = {"images": [image for image, _ in records], "annotations": [annotation for _, annotation in records]}
    return {"data": data, "camera": copy.deepcopy(CAMERAS), "joint_3d": {"0": frames}}


def write_annotations(root: Path, files: dict[str, dict], split: str = "test") -> None:
    """Write the three annotation files."""
    annotations = root / "annotations" / split
    annotations.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (annotations / f"InterHand2.6M_{split}_{name}.json").write_text(json.dumps(content))


def write_images(root: Path, files: dict[str, dict], split: str = "test") -> None:
    """Write the images; pixel (row 20, column 10) of each is white, the rest dark grey."""
    for image in files["data"]["images"]:
        path = root / "images" / split / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((image["height"], image["width"], 3), 40, dtype=np.uint8)
        pixels[20, 10] = 255
        cv2.imwrite(str(path), pixels)
