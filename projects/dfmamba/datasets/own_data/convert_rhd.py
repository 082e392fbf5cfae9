"""From RHD's annotation, or one of its form, to one's own JSON file: both hands, in space and in the image.

Facts: the data set's own reader (hand3d). A frame has `xyz` (42, 3) in metres, `uv_vis` (42, 3) with a flag for joints
that are visible, and `K` (3, 3). The left hand comes first; in a hand the wrist, then each finger from tip to base.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dfmamba.datasets.own_data.converted import Converted
from dfmamba.datasets.rhp.annotations import VALIDITIES, image_name, seen_flags
from dfmamba.datasets.validation import pinhole_of_matrix
from dfmamba.io.files import get_array, get_integer, read_pickle
from dfmamba.io.json_files import read_json
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import FROM_RHD_HAND, NUM_HAND_JOINTS, TWO_HANDS, WRIST

FILE_SIDES = ("left", "right")  # as the blocks of 21 joints come in the file
FILE_WRIST = FROM_RHD_HAND[WRIST]  # in a block


def convert_rhd(path: Path, validity: str = "visible", image_prefix: str = "") -> Converted:
    """Convert `anno_training.pickle`, or a JSON with the same content (numbers of frames as texts).

    Args:
        path: The file.
        validity: 'visible': valid joints are those with the flag, and the wrist of such a hand; a hand without any is
            left out. 'annotated': all joints of both hands.
        image_prefix: Put before the names of the images, which are the numbers of the frames, such as 00007.png.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The choice is unknown, or the file or a frame is faulty.
    """
    if validity not in VALIDITIES:
        raise ValueError(f"validity: expected one of {VALIDITIES}, got {validity!r}")
    frames = read_json(path) if path.suffix.lower() == ".json" else read_pickle(path)
    if not isinstance(frames, dict):
        raise record_error(path, "-", "a dictionary of frames by number", f"a {type(frames).__name__}")
    left_out: Counter[str] = Counter()
    images = []
    for key, frame in _by_number(path, frames):
        hands = _hands_of(path, key, frame, validity)
        left_out["hands without a visible joint"] += len(FILE_SIDES) - len(hands)
        if not hands:
            left_out["images without a hand"] += 1
            continue
        focal, point = pinhole_of_matrix(path, key, get_array(path, key, frame, "K", (3, 3)))
        camera = {"focal": focal.tolist(), "principal_point": point.tolist()}
        images.append({"file": image_prefix + image_name(key), "camera": camera, "hands": hands})
    return Converted("rhd", "m", images, left_out)


def _by_number(path: Path, frames: dict[Any, Any]) -> Iterable[tuple[int, Any]]:
    """Return the frames in the order of their numbers."""
    return sorted((get_integer(path, key, {"number": key}, "number"), frame) for key, frame in frames.items())


def _hands_of(path: Path, record: int, frame: Any, validity: str) -> list[dict[str, Any]]:
    """Return what the file says about the hands of a frame."""
    xyz = get_array(path, record, frame, "xyz", (TWO_HANDS.num_joints, 3))
    uv_seen = get_array(path, record, frame, "uv_vis", (TWO_HANDS.num_joints, 3))
    hands = []
    for number, side in enumerate(FILE_SIDES):
        part = slice(number * NUM_HAND_JOINTS, (number + 1) * NUM_HAND_JOINTS)
        valid = seen_flags(uv_seen[part, 2]) if validity == "visible" else np.ones(NUM_HAND_JOINTS, dtype=bool)
        if valid.any():
            valid[FILE_WRIST] = True  # known whether it is seen or not: the set is rendered
            hands.append(
                {
                    "side": side,
                    "keypoints_cam": xyz[part].tolist(),
                    "keypoints_px": uv_seen[part, :2].tolist(),
                    "valid": valid.astype(int).tolist(),
                }
            )
    return hands
