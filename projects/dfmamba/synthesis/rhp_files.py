"""The annotation files of RHD v1.1 ("RHP"): the set's own pickle, and the JSON files of InterNet and mmpose.

For the writer in `rhp`, which names the sources.
"""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfmamba.geometry import Array, tight_box
from dfmamba.skeleton import (
    FROM_RHD_HAND,
    HAND_JOINTS,
    LEFT,
    NUM_HAND_JOINTS,
    ONE_HAND,
    RIGHT,
    SIDES,
    hand_slice,
    inverse,
)

FOLDERS = {"train": "training", "test": "evaluation"}
SIDE = 320  # of the images, px
BOX_ENLARGEMENT = 1.2  # of the tight box of the visible joints, as in the real JSON files


@dataclass(frozen=True)
class FrameRecord:
    """What was drawn: one image.

    Attributes:
        split: `train` or `test`.
        number: Counts the images of the split from 0.
        xyz: 42 joints in m, camera frame, in RHD's order.
        uv_vis: 42 times u and v in px, and 1 for a visible joint or 0.
        matrix: 3x3, the camera.
        side: The hand with more pixels in the mask, the right one if equal; None if no joint of it is visible.
    """

    split: str
    number: int
    xyz: list[list[float]]
    uv_vis: list[list[float]]
    matrix: list[list[float]]
    side: int | None


def file_name(number: int) -> str:
    """Return the name of an image in its folder.

    >>> file_name(7)
    '00007.png'
    """
    return f"{number:05d}.png"


def write_annotations(folder: Path, split: str, records: Sequence[FrameRecord]) -> None:
    """Write the pickle and the two JSON files of one split."""
    # Arrays are made here, from lists: those that come from another process would give other bytes in the pickle.
    frames = {
        record.number: {
            "xyz": np.array(record.xyz, dtype=np.float32),
            "uv_vis": np.array(record.uv_vis, dtype=np.float32),
            "K": np.array(record.matrix, dtype=np.float32),
        }
        for record in records
    }
    official = FOLDERS[split]
    (folder / official / f"anno_{official}.pickle").write_bytes(pickled(frames))
    images, annotations = [], []
    for record in records:
        number, frame = record.number, frames[record.number]
        images.append(
            {
                "id": number,
                "file_name": file_name(number),
                "width": SIDE,
                "height": SIDE,
                "cam_param": {"focal": frame["K"][[0, 1], [0, 1]].tolist(), "princpt": frame["K"][:2, 2].tolist()},
            }
        )
        if record.side is not None:
            annotations.append({"id": number, "image_id": number, **_annotation(frame, record.side)})
    (folder / f"RHD_{official}.json").write_text(
        json.dumps({"images": images, "annotations": annotations}), encoding="utf-8"
    )
    target = folder / "annotations" / f"rhd_{split}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(_for_mmpose(images, annotations, official)), encoding="utf-8")


def pickled(frames: dict[int, dict[str, np.ndarray]]) -> bytes:
    """Pickle arrays under the name that numpy's module had before version 2, as in the real files; both read it."""
    return pickle.dumps(frames, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def _annotation(frame: dict[str, Array], side: int) -> dict:
    """Return InterNet's record of one hand: wrist first, mm."""
    block = hand_slice(1 - side)  # RHD has the left hand first
    pixels, visible = frame["uv_vis"][block, :2], frame["uv_vis"][block, 2] == 1
    return {
        "bbox": tight_box(pixels, visible, BOX_ENLARGEMENT).tolist(),
        "joint_img": pixels.tolist(),
        "joint_cam": (1000 * frame["xyz"][block]).tolist(),
        "joint_valid": visible.astype(int).tolist(),
        "hand_type": SIDES[side],
    }


def _for_mmpose(images: list[dict], annotations: list[dict], official: str) -> dict:
    """Return the content of mmpose's JSON file, made from InterNet's; its file names begin at the root."""
    names = [HAND_JOINTS[joint] for joint in inverse(FROM_RHD_HAND)]
    hands = []
    for hand in annotations:
        points = [[*point, valid] for point, valid in zip(hand["joint_img"], hand["joint_valid"], strict=True)]
        hands.append(
            {
                "id": hand["id"],
                "image_id": hand["image_id"],
                "category_id": 1,
                "iscrowd": 0,
                "bbox": hand["bbox"],
                "area": hand["bbox"][2] * hand["bbox"][3],
                "keypoints": points,
                "joint_cam": hand["joint_cam"],
                "hand_type": hand["hand_type"],
            }
        )
    return {
        "info": {"description": "SYNTHETIC, in the layout of RHD"},
        "licenses": "",
        "images": [{**image, "file_name": f"{official}/color/{image['file_name']}"} for image in images],
        "annotations": hands,
        "categories": [{"id": 1, "name": "hand", "keypoints": names}],
    }


def write_skeleton(folder: Path) -> None:
    """Write InterNet's `skeleton.txt`: both hands, left first, wrist first; no empty line at the end."""
    order = inverse(FROM_RHD_HAND)
    lines = ["# joint_name joint_id joint_parent_id"]
    for block, side in enumerate((LEFT, RIGHT)):
        for place, joint in enumerate(order):
            parent = ONE_HAND.parents[joint]
            up = -1 if parent < 0 else block * NUM_HAND_JOINTS + order.index(parent)
            lines.append(f"{SIDES[side][0]}_{HAND_JOINTS[joint]} {block * NUM_HAND_JOINTS + place} {up}")
    (folder / "skeleton.txt").write_text("\n".join(lines), encoding="utf-8")
