"""AssemblyHands' JSON files of 3D joints.

Labels (`assemblyhands_<split>_joint_3d_*.json`) and predictions as the HANDS 2023 challenge asks for:

    {"annotations": {recording: {frame: {"world_coord": (42, 3) in mm, world frame, "joint_valid": (42), labels only,
                                         "cameras": {camera: {"world_coord": (42, 3)}}, ours only}}}}

A frame is there once, whatever the number of cameras; what we write has beside it what was predicted in each camera's
image, for the toolkit counts hands in images. A hand with 0, -1 or 1 everywhere is not there: the challenges' templates
are filled with 0, -1 or 1, and the labels of held-out splits with 1.

Predictions as the HANDS 2024 challenge asks for have 21 joints of one hand, in the camera's frame:

    {"annotations": {"camera+camera": {recording: {camera: {frame: (21, 3)}}}}}

Their order (wrist first, each finger from its base) and unit (mm) are those of ut-vision/S2DHand_HANDS2024,
gen_submit_json.py, adapt_detnet_dual.py and visualize.py. The file does not say which hand it is.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.geometry import invert_rigid, move_rigidly
from dfmamba.io.atomic import write_atomically
from dfmamba.io.json_files import read_json
from dfmamba.io.json_values import mask_of, numbers_of, shrink
from dfmamba.io.record_errors import place_error
from dfmamba.skeleton import FROM_DEXYCB, NUM_HAND_JOINTS, TWO_HANDS

NOT_PREDICTED = (0, -1, 1)
Entry = tuple[str, str, NDArray[np.float64], NDArray[np.bool_]]  # id, camera, joints (J, 3), mask (J,)


def read_assemblyhands_json(path: str | Path, *, by_camera: bool = False) -> JointTable:
    """Read a file; `valid` is false for hands that are not there.

    Ids are `<recording>/<frame>`, the frame as six digits; by camera `<recording>/<frame>/<camera>`; and of HANDS 2024
    `<camera+camera>/<recording>/<camera>/<frame>`. Where rows are those of a camera, `fields` has its name.

    Args:
        path: The file.
        by_camera: Read what was predicted in the cameras' images, where the file has that.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not complete, a frame has another number of joints, or a number that is not finite.
    """
    path = Path(path)
    content = read_json(path, object_hook=_shrink)
    recordings = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(recordings, dict):
        raise place_error(path, "-", "a dictionary 'annotations' of recordings", type(recordings).__name__)
    pairs = any("+" in name for name in recordings)
    entries = list(_read_camera_pairs(path, recordings) if pairs else _read_frames(path, recordings, by_camera))
    if not entries:
        raise place_error(path, "-", "at least one frame", "none")
    ids, cameras, joints, valid = zip(*entries, strict=True)
    fields = {"camera": np.array(cameras)} if any(cameras) else {}
    return JointTable(list(ids), np.array(joints), np.array(valid), fields, source=str(path))


def _shrink(record: dict[str, Any]) -> dict[str, Any]:
    """Make arrays of the joints as soon as they have been read; in HANDS 2024's files they are the entries."""
    for key, value in record.items():
        if isinstance(value, list) and len(value) in (NUM_HAND_JOINTS, TWO_HANDS.num_joints):
            shrink(record, key)
    return record


def _read_frames(path: Path, recordings: dict[str, Any], by_camera: bool) -> Iterator[Entry]:
    """Yield the frames; by camera, all that some frame has for its cameras, or else the frames."""
    frames = [
        (f"{recording}/{frame}", entry)
        for recording, part in recordings.items()
        for frame, entry in _dictionary(path, recording, part, "frames").items()
    ]
    for place, entry in frames:
        if not isinstance(entry, dict) or "world_coord" not in entry:
            raise place_error(path, place, "a dictionary with 'world_coord'", str(entry)[:100])
    if by_camera and any("cameras" in entry for _, entry in frames):
        for place, entry in frames:
            cameras = _dictionary(path, place, entry.get("cameras", {}), "'cameras'")
            for camera, part in cameras.items():
                identity = f"{place}/{camera}"
                part = _dictionary(path, identity, part, "'world_coord'")
                yield identity, camera, *_joints(path, identity, part.get("world_coord"), TWO_HANDS.num_joints)
        return
    for place, entry in frames:
        joints, mask = _joints(path, place, entry["world_coord"], TWO_HANDS.num_joints)
        if "joint_valid" in entry:
            mask &= mask_of(path, place, "joint_valid", entry["joint_valid"], (TWO_HANDS.num_joints,))
        yield place, "", joints, mask


def _read_camera_pairs(path: Path, pairs: dict[str, Any]) -> Iterator[Entry]:
    """Yield what HANDS 2024's files hold, in canonical order."""
    for pair, recordings in pairs.items():
        for recording, cameras in _dictionary(path, pair, recordings, "recordings").items():
            for camera, frames in _dictionary(path, f"{pair}/{recording}", cameras, "cameras").items():
                place = f"{pair}/{recording}/{camera}"
                for frame, joints in _dictionary(path, place, frames, "frames").items():
                    hand, mask = _joints(path, f"{place}/{frame}", joints, NUM_HAND_JOINTS)
                    yield f"{place}/{frame}", camera, hand[list(FROM_DEXYCB)], mask


def _dictionary(path: Path, place: str, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise place_error(path, place, f"a dictionary of {what}", type(value).__name__)
    return value


def _joints(path: Path, place: str, value: Any, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return joints (count, 3), and a mask (count,) without the hands that are not there."""
    joints = numbers_of(path, place, "world_coord", value, (count, 3))
    hands = joints.reshape(-1, NUM_HAND_JOINTS * 3)
    absent = np.any([np.all(hands == mark, axis=1) for mark in NOT_PREDICTED], axis=0)
    return joints, np.repeat(~absent, NUM_HAND_JOINTS)


def camera_to_world(joints_mm: NDArray[np.floating], extrinsic: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move joints (J, 3) from the camera to the world, mm; the extrinsic (3, 4) [R|t] goes from world to camera."""
    return move_rigidly(joints_mm, *invert_rigid(extrinsic[:, :3], extrinsic[:, 3]))


def write_assemblyhands_json(path: str | Path, table: JointTable) -> None:
    """Write one entry for each frame: the mean over its samples (hands in images) for each hand, 0 without any.

    Args:
        path: The file.
        table: Ids `<recording>/<frame>`, which may occur several times; world frame, mm; `valid` says which hand. With
            the field `camera` (N,), what each camera's images gave is written, too.
    """
    recordings: dict[str, dict[str, Any]] = defaultdict(dict)
    for identity, rows in _group(table.ids).items():
        recording, frame = identity.rsplit("/", 1)
        recordings[recording][frame] = {"world_coord": _mean(table, rows)}
        if "camera" in table.fields:
            cameras = _group(table.fields["camera"][rows])
            recordings[recording][frame]["cameras"] = {
                camera: {"world_coord": _mean(table, [rows[part] for part in parts])}
                for camera, parts in cameras.items()
            }
    write_atomically(path, json.dumps({"annotations": recordings}) + "\n")


def _group(names: Any) -> dict[str, list[int]]:
    """Return the places of each name."""
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[str(name)].append(place)
    return members


def _mean(table: JointTable, rows: list[int]) -> list[list[float]]:
    """Return the mean of some rows, hand by hand."""
    mask = table.valid[rows][..., None]
    mean = np.where(mask, table.joints_mm[rows], 0).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    return mean.round(4).tolist()


def read_for(path: Path, gt: JointTable) -> JointTable:
    """Read predictions; what was predicted in the cameras' images where the ground truth is that of images."""
    return read_assemblyhands_json(path, by_camera="camera" in gt.fields)


def read_annotations(path: Path) -> JointTable | None:
    """Read `*_ego_data_*.json`, with the other two files beside it; None for frames, which are read as results."""
    if "_ego_data_" not in path.name:
        return None
    from dfmamba.datasets.assemblyhands.ground_truth import read_assemblyhands_gt

    return read_assemblyhands_gt(path)


RESULTS = ResultFiles(
    read=read_assemblyhands_json,
    write=write_assemblyhands_json,
    read_annotations=read_annotations,
    read_for=read_for,
)
