"""From COCO's keypoints to one's own JSON file: hands of 21 joints in the image, or COCO-WholeBody's hands.

Facts: COCO's own format page (an annotation has `keypoints` [u, v, flag, ...], the flag 0 for a joint that is not
labelled, 1 for a hidden and 2 for a visible one, and a `bbox` [x, y, w, h]); COCO-WholeBody's format page (a person has
`lefthand_kpts`, `lefthand_box` and `lefthand_valid`, and the same of the right hand). Left and right are the person's.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.coco_json import read_coco
from dfmamba.datasets.own_data.converted import Converted
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.geometry import xywh_to_xyxy
from dfmamba.io.files import get_array, get_integer, get_text, shorten
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import NUM_HAND_JOINTS, SIDES

WHOLE_BODY_ORDER = "coco_wholebody"
SIDE_KEYS = ("hand_type", "side")


def convert_coco(
    path: Path, side: str | None = None, joint_order: str = WHOLE_BODY_ORDER, image_prefix: str = ""
) -> Converted:
    """Convert a file of COCO's form; hands without a labelled joint, and images without such a hand, are left out.

    Args:
        path: The file.
        side: 'right' or 'left', of hands of which the file does not say it (as `hand_type` or `side`).
        joint_order: Of `keypoints`; that of COCO-WholeBody's hands is known.
        image_prefix: Put before the names of the images.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty, an annotation has no hand of 21 joints, or nobody says which hand it is.
    """
    images, annotations = read_coco(path, lambda record: record, RecordErrorPolicy())
    left_out: Counter[str] = Counter()
    hands: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
    for number, annotation in annotations.items():
        image_id = get_integer(path, number, annotation, "image_id")
        if image_id not in images:
            raise record_error(path, number, f"an image with the id {image_id}", "none in 'images'")
        for hand_side, keypoints, box in _hands_of(path, number, annotation, side):
            if not (keypoints[:, 2] > 0).any():
                left_out["hands without a labelled joint"] += 1
                continue
            hands[image_id].append(_entry(hand_side, keypoints, box))
    left_out["images without a hand"] = sum(not of_image for of_image in hands.values())
    entries = [
        {
            "file": image_prefix + get_text(path, number, images[number], "file_name"),
            **{
                key: get_integer(path, number, images[number], key)
                for key in ("width", "height")
                if key in images[number]
            },
            "hands": of_image,
        }
        for number, of_image in hands.items()
        if of_image
    ]
    is_whole_body = any("righthand_kpts" in annotation for annotation in annotations.values())
    return Converted(WHOLE_BODY_ORDER if is_whole_body else joint_order, None, entries, left_out)


def _hands_of(
    path: Path, number: int, annotation: dict[str, Any], side: str | None
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64] | None]]:
    """Yield side, keypoints (21, 3) and box (4,) x, y, w, h of the hands of an annotation."""

    def read(key: str, box_key: str) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        keypoints = get_array(path, number, annotation, key, (3 * NUM_HAND_JOINTS,)).reshape(-1, 3)
        return keypoints, get_array(path, number, annotation, box_key, (4,)) if box_key in annotation else None

    if "righthand_kpts" in annotation or "lefthand_kpts" in annotation:
        for hand_side in SIDES:
            if annotation.get(f"{hand_side}hand_valid", True):
                yield hand_side, *read(f"{hand_side}hand_kpts", f"{hand_side}hand_box")
        return
    said = next((annotation[key] for key in SIDE_KEYS if key in annotation), side)
    if said not in SIDES:
        got = "none, and no side was given for all" if said is None else shorten(said)
        raise record_error(path, number, f"a 'hand_type' or 'side' among {SIDES}", got)
    yield said, *read("keypoints", "bbox")


def _entry(side: str, keypoints: NDArray[np.float64], box_xywh: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return what the file says about a hand."""
    entry: dict[str, Any] = {"side": side, "keypoints_px": keypoints[:, :2].tolist()}
    if not (keypoints[:, 2] > 0).all():
        entry["valid"] = (keypoints[:, 2] > 0).astype(int).tolist()
    if box_xywh is not None and (box_xywh[2:] > 0).all():
        entry["box_xyxy"] = xywh_to_xyxy(box_xywh).tolist()
    return entry
