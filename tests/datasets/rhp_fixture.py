"""A tiny RHD in its official layout, with numbers that can be worked out by hand.

The hands are flat: each finger is a column of the image, 20 mm beside the next one, its tip 80 mm above the wrist and
its base 20 mm; the thumb is 1 mm nearer to the camera than the index finger, and so on. Left wrist: (-0.1, 0, 0.5) m,
right wrist: (0.1, 0.02, 0.8) m. Camera: focal (250, 300), principal point (160, 150).
"""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np

from dfmamba.datasets.rhp.dataset import RHPDataset
from dfmamba.skeleton import LEFT, SIDES

MATRIX = [[250.0, 0.0, 160.0], [0.0, 300.0, 150.0], [0.0, 0.0, 1.0]]
LEFT_WRIST_M, RIGHT_WRIST_M = (-0.1, 0.0, 0.5), (0.1, 0.02, 0.8)
LEFT_FINGER_CLASS, RIGHT_FINGER_CLASS = 6, 22  # two of the classes 2-17 and 18-33 of the masks


def hand_m(wrist) -> list[list[float]]:
    """One hand in RHD's order: the wrist, then thumb to pinky, each from the tip to the base; metres."""
    fingers = [
        [wrist[0] + 0.02 * (finger - 2), wrist[1] - 0.02 * (4 - i), wrist[2] + 0.001 * finger]
        for finger in range(5)
        for i in range(4)
    ]
    return [list(wrist), *fingers]


def frame(left_seen=21, right_seen=21) -> dict[str, np.ndarray]:
    """A frame of the pickles: the last so many joints of each hand are visible (all 21, or without the wrist)."""
    xyz = np.array(hand_m(LEFT_WRIST_M) + hand_m(RIGHT_WRIST_M))
    seen = [float(joint >= 21 - count) for count in (left_seen, right_seen) for joint in range(21)]
    uv = xyz[:, :2] / xyz[:, 2:] * [250, 300] + [160, 150]
    return {
        "xyz": xyz.astype(np.float32),
        "uv_vis": np.column_stack([uv, seen]).astype(np.float32),
        "K": np.array(MATRIX, dtype=np.float32),
    }


def frames() -> dict[int, dict]:
    """Frame 0: right by both rules. 1: left by both. 2: right by pixels, left by joints. 3: ties. 4: nothing seen."""
    return {0: frame(10, 21), 1: frame(21, 10), 2: frame(20, 4), 3: frame(), 4: frame(0, 0)}


PIXELS = {0: (10, 20), 1: (20, 10), 2: (10, 20), 3: (15, 15), 4: (0, 5)}  # of the left and the right hand


def write_rhp(root: Path, content: dict | None = None, folder: str = "evaluation") -> Path:
    """Write pickle, images and masks; return the pickle's path."""
    content = frames() if content is None else content
    for kind in ("color", "mask"):
        (root / folder / kind).mkdir(parents=True, exist_ok=True)
    for number, (left, right) in PIXELS.items():
        mask = np.ones((320, 320), dtype=np.uint8)  # class 1 is the person
        mask[0, :left], mask[1, :right] = LEFT_FINGER_CLASS, RIGHT_FINGER_CLASS
        cv2.imwrite(str(root / folder / f"mask/{number:05d}.png"), mask)
        cv2.imwrite(str(root / folder / f"color/{number:05d}.png"), np.full((320, 320, 3), 40 + number, np.uint8))
    path = root / folder / f"anno_{folder}.pickle"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def coco(form: str, sides: dict[int, str]) -> dict:
    """The same frames as a JSON in the form of `internet` or `mmpose`, with the given hand of each."""
    images, annotations = [], []
    for number, side in sides.items():
        record = frames()[number]
        hand = slice(0, 21) if side == "left" else slice(21, 42)
        xyz, uv_seen = np.float64(record["xyz"][hand]), np.float64(record["uv_vis"][hand])
        images.append(
            {
                "id": number,
                "file_name": f"{number:05d}.png",
                "width": 320,
                "height": 320,
                "cam_param": {"focal": [250.0, 300.0], "princpt": [160.0, 150.0]},
            }
        )
        annotation = {
            "id": 100 + number,
            "image_id": number,
            "bbox": [10.0, 20.0, 100.0, 60.0],
            "hand_type": side,
            "joint_cam": (xyz * 1000).tolist(),
        }
        if form == "internet":
            annotation |= {"joint_img": uv_seen[:, :2].tolist(), "joint_valid": uv_seen[:, 2].tolist()}
        else:
            annotation |= {"category_id": 1, "iscrowd": 0, "keypoints": uv_seen.tolist()}
        annotations.append(annotation)
    return {"images": images, "annotations": annotations}


def write_coco(root: Path, content: dict, name: str = "RHD_evaluation.json") -> Path:
    """Write a JSON into the root, beside the images of `write_rhp`."""
    path = root / name
    path.write_text(json.dumps(content))
    return path


def open_rhp(root: Path, **arguments) -> RHPDataset:
    """Open the split `test`."""
    return RHPDataset(**{"split": "test", "data_root": str(root)} | arguments)


def sides_of(dataset: RHPDataset) -> dict[int, str]:
    """The hand of each sample, `r` or `l`, by its number."""
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {sample["id"]: SIDES[int(sample["hand_type"][0, LEFT])][0] for sample in samples}
