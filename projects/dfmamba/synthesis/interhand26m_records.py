"""Annotation files in the layout of InterHand2.6M v1.0 with any number of records, but without images.

For measuring readers at the size of the real set. Only structure and lengths of texts are like the real ones (600 bytes
for a record in the data file, 3 kB for a frame); joints and boxes are random numbers and fit no image.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dfmamba.geometry import look_at
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, hand_slice
from dfmamba.synthesis.output import NOTE

CAMERAS, FRAMES_PER_CAPTURE, FRAMES_PER_SEQUENCE, FRAME_GAP = 80, 700, 20, 18
HAND_TYPES = ("right", "left", "interacting")  # in turn, frame after frame
PARTLY_VALID_PERIOD = 4  # one record in this many lacks some joints, each with the probability below
INVALID_PROBABILITY = 0.1


def write_interhand26m_records(folder: Path, count: int, seed: int = 0, split: str = "train") -> None:
    """Write `..._data.json`, `..._camera.json`, `..._joint_3d.json` and an empty image folder. Same seed, same bytes.

    Args:
        folder: Root of the set; made if it is not there, files in it are replaced.
        count: Number of records, of 80 cameras for each frame.
        seed: Of the random numbers.
        split: 'train', 'val' or 'test'.

    Raises:
        ValueError: `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"count: expected a positive number, got {count}")
    annotations = folder / "annotations" / split
    annotations.mkdir(parents=True, exist_ok=True)
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text("Synthetic records of random numbers, for measuring readers. There are no images.\n")
    rng = np.random.default_rng(seed)
    frames = -(-count // CAMERAS)
    captures = -(-frames // FRAMES_PER_CAPTURE)
    with (annotations / f"InterHand2.6M_{split}_data.json").open("w") as file:
        file.write('{"images": [')
        file.writelines(_joined(_image(number) for number in range(count)))
        file.write('], "annotations": [')
        file.writelines(_joined(_annotation(number, rng) for number in range(count)))
        file.write("]}")
    cameras = {str(capture): _cameras(rng) for capture in range(captures)}
    (annotations / f"InterHand2.6M_{split}_camera.json").write_text(json.dumps(cameras))
    joints: dict[str, dict[str, dict]] = {str(capture): {} for capture in range(captures)}
    for frame in range(frames):
        capture, number = divmod(frame, FRAMES_PER_CAPTURE)
        joints[str(capture)][str(FRAME_GAP * number)] = _frame(frame, rng)
    (annotations / f"InterHand2.6M_{split}_joint_3d.json").write_text(json.dumps(joints))


def _joined(items: Iterable[dict]) -> Iterable[str]:
    for number, item in enumerate(items):
        yield (", " if number else "") + json.dumps(item)


def _image(number: int) -> dict:
    """Return the entry of an image: all cameras of a frame, then the next frame."""
    frame, camera = divmod(number, CAMERAS)
    capture, in_capture = divmod(frame, FRAMES_PER_CAPTURE)
    sequence, frame_idx = f"{in_capture // FRAMES_PER_SEQUENCE:04d}_synthetic_pose", FRAME_GAP * in_capture
    name = f"Capture{capture}/{sequence}/cam{400000 + camera}/image{frame_idx}.jpg"
    return {
        "id": number,
        "file_name": name,
        "width": 334,
        "height": 512,
        "capture": capture,
        "subject": capture,
        "seq_name": sequence,
        "camera": str(400000 + camera),
        "frame_idx": frame_idx,
    }


def _annotation(number: int, rng: np.random.Generator) -> dict:
    hand_type = HAND_TYPES[number // CAMERAS % len(HAND_TYPES)]
    valid = np.ones(TWO_HANDS.num_joints, dtype=np.int64)
    if number % PARTLY_VALID_PERIOD == 0:
        valid &= rng.random(TWO_HANDS.num_joints) > INVALID_PROBABILITY
    valid[list(TWO_HANDS.roots)] = 1
    if hand_type != "interacting":
        valid[hand_slice(LEFT if hand_type == "right" else RIGHT)] = 0
    box = rng.uniform(50, 200, 4).astype(np.float32).tolist()
    return {
        "id": number,
        "image_id": number,
        "bbox": box,
        "joint_valid": valid[:, None].tolist(),
        "hand_type": hand_type,
        "hand_type_valid": 1,
    }


def _cameras(rng: np.random.Generator) -> dict:
    names = [str(400000 + camera) for camera in range(CAMERAS)]
    azimuth, height = rng.uniform(0, 2 * np.pi, CAMERAS), rng.uniform(-500, 500, CAMERAS)
    centers = np.stack([1000 * np.cos(azimuth), height, 1000 * np.sin(azimuth)], axis=1)  # around the hands
    return {
        "campos": dict(zip(names, centers.tolist(), strict=True)),
        "camrot": {name: look_at(center, np.zeros(3)).tolist() for name, center in zip(names, centers, strict=True)},
        "focal": {name: rng.uniform(1260, 1275, 2).tolist() for name in names},
        "princpt": {name: rng.uniform(160, 260, 2).tolist() for name in names},
    }


def _frame(number: int, rng: np.random.Generator) -> dict:
    world = rng.uniform(-90, 90, (TWO_HANDS.num_joints, 3)).astype(np.float32)
    return {
        "world_coord": world.tolist(),
        "joint_valid": [[1]] * TWO_HANDS.num_joints,
        "hand_type": HAND_TYPES[number % len(HAND_TYPES)],
        "hand_type_valid": True,
    }
