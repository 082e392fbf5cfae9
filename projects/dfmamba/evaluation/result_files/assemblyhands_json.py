"""AssemblyHands' JSON of 3D joints: `annotations` > recording > frame > `world_coord` (42, 3) in mm, world frame.

Labels (`assemblyhands_<split>_joint_3d_*.json`) and the predictions that the HANDS challenge asks for have this layout;
labels also hold `joint_valid` (42). A frame is there once, whatever the number of cameras. In predictions, a hand with
0 or with -1 everywhere was not predicted.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.result_files.json_text import mask_of, numbers_of, read_json, shrink
from dfmamba.evaluation.result_files.text import fault
from dfmamba.evaluation.scores import JointTable
from dfmamba.geometry import invert_rigid, move_rigidly
from dfmamba.io.atomic import write_atomically
from dfmamba.skeleton import TWO_HANDS, hand_slice

NOT_PREDICTED = (0, -1)


def read_assemblyhands_json(path: str | Path) -> JointTable:
    """Read a file; ids are `<recording>/<frame>`, the frame as six digits. `valid` is false for hands not predicted.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not complete, a frame has another number of joints, or a number that is not finite.
    """
    path = Path(path)
    content = read_json(path, object_hook=lambda record: shrink(record, "world_coord"))
    recordings = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(recordings, dict):
        raise fault(path, "-", "a dictionary 'annotations' of recordings", type(recordings).__name__)
    ids, joints, valid = [], [], []
    for recording, frames in recordings.items():
        if not isinstance(frames, dict):
            raise fault(path, recording, "a dictionary of frames", type(frames).__name__)
        for frame, entry in frames.items():
            place = f"{recording}/{frame}"
            if not isinstance(entry, dict) or "world_coord" not in entry:
                raise fault(path, place, "a dictionary with 'world_coord'", str(entry)[:100])
            world = numbers_of(path, place, "world_coord", entry["world_coord"], (TWO_HANDS.num_joints, 3))
            mask = _predicted(world)
            if "joint_valid" in entry:
                mask = mask_of(path, place, "joint_valid", entry["joint_valid"], (TWO_HANDS.num_joints,))
            ids.append(place)
            joints.append(world)
            valid.append(mask)
    if not ids:
        raise fault(path, "-", "at least one frame", "none")
    return JointTable(ids, np.array(joints), np.array(valid), source=str(path))


def _predicted(world: NDArray) -> NDArray[np.bool_]:
    """Return a mask (42,) without the hands that are 0 or -1 everywhere."""
    mask = np.ones(len(world), dtype=bool)
    for side in range(len(TWO_HANDS.roots)):
        mask[hand_slice(side)] = not any((world[hand_slice(side)] == mark).all() for mark in NOT_PREDICTED)
    return mask


def camera_to_world(joints_mm: NDArray, extrinsic: NDArray) -> NDArray[np.floating]:
    """Move joints (J, 3) from the camera to the world, mm; the extrinsic (3, 4) [R|t] goes from world to camera."""
    return move_rigidly(joints_mm, *invert_rigid(extrinsic[:, :3], extrinsic[:, 3]))


def write_assemblyhands_json(path: str | Path, table: JointTable) -> None:
    """Write one entry for each frame: the mean over its samples (hands in images) for each hand, 0 without any.

    Args:
        path: The file.
        table: Ids `<recording>/<frame>`, which may occur several times; world frame, mm; `valid` says which hand.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, identity in enumerate(table.ids):
        members[str(identity)].append(row)
    recordings: dict[str, dict] = defaultdict(dict)
    for identity, rows in members.items():
        recording, frame = identity.rsplit("/", 1)
        mask = table.valid[rows][..., None]
        mean = np.where(mask, table.joints_mm[rows], 0).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
        recordings[recording][frame] = {"world_coord": mean.round(4).tolist()}
    write_atomically(path, json.dumps({"annotations": recordings}) + "\n")
