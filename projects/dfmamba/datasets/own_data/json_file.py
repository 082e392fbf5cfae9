"""The JSON file of one's own data: what it may say, how it is read and written.

    {"format": "dfmamba hands", "version": 1, "joint_order": "mediapipe", "unit": "mm", "images": [
      {"file": "images/0001.jpg", "width": 1280, "height": 720,
       "camera": {"focal": [1201.3, 1200.8], "principal_point": [640.2, 359.6]},
       "hands": [{"side": "right", "box_xyxy": [412, 220, 602, 424],
                  "keypoints_cam": [[x, y, z], ...], "keypoints_px": [[u, v], ...], "valid": [1, ...]}]}]}

`joint_order` is one of `JOINT_ORDERS` (`joint_orders.py`), or the list of the 21 names of `HAND_JOINTS` in the order of
the file. `unit`, "mm" or "m", is that of `keypoints_cam` and `depth`, and needed where one of them occurs. A `comment`
may be there.

An image has a `file`, relative to the folder of the images, and `hands`; `width` and `height` in px and the `camera` in
px may be left out. A hand has a `side`, "right" or "left", and joints in at least one form:

    keypoints_px    (21, 2), u and v in px of the image
    keypoints_cam   (21, 3), x right, y down, z forward from the camera; needs the `camera`, or else `keypoints_px`
                    beside it, and then only the depths relative to the wrist are used
    depth           (21,), along the line of sight, larger is farther, beside `keypoints_px`; only differences count

`valid`, 0 or 1 for each joint, says which are annotated (all, where it is missing); `box_xyxy` is x0, y0, x1, y1 in px.
Any other key is a mistake, so that a misspelt one is not passed over.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS, order_of_names
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.errors import DataError
from dfmamba.io.atomic import write_atomically
from dfmamba.io.files import check_relative_path, get_integer, get_text, shorten
from dfmamba.io.json_files import read_json
from dfmamba.io.json_values import mask_of, numbers_of, shrink
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import HAND_JOINTS, NUM_HAND_JOINTS, SIDES, WRIST

FORMAT, VERSION = "dfmamba hands", 1
UNITS_MM = {"mm": 1.0, "m": 1000.0}
FILE_KEYS = ("format", "version", "joint_order", "unit", "images", "comment")
IMAGE_KEYS = ("file", "width", "height", "camera", "hands")
CAMERA_KEYS = ("focal", "principal_point")
HAND_KEYS = ("side", "box_xyxy", "keypoints_px", "keypoints_cam", "depth", "valid")
ARRAYS = ("keypoints_px", "keypoints_cam", "depth", "valid")
EXAMPLES = 10  # of names in messages


class Header(NamedTuple):
    """What the file says about all hands.

    Attributes:
        order: Brings joints of the file into canonical order: `canonical = joints[order]`.
        mm_per_unit: Of `keypoints_cam` and `depth`; None where the file names no unit.
    """

    order: tuple[int, ...]
    mm_per_unit: float | None


class Image(NamedTuple):
    """What the file says about an image.

    Attributes:
        name: Of the file.
        size: Width and height in px; 0 where the file does not say it.
        focal_px: (2,), 0 without a camera.
        principal_point_px: (2,), 0 without a camera.
    """

    name: str
    size: tuple[int, int]
    focal_px: NDArray[np.float64]
    principal_point_px: NDArray[np.float64]

    @property
    def has_camera(self) -> bool:
        """Whether the file knows the camera."""
        return bool(self.focal_px.any())


class Hand(NamedTuple):
    """What the file says about a hand, in canonical order and mm; NaN where it says nothing.

    Attributes:
        side: `RIGHT` or `LEFT`.
        valid: (21,).
        points_px: (21, 2).
        joints_cam_mm: (21, 3); only of an image with a camera.
        depth_mm: (21,), relative to the wrist.
        box_xyxy: (4,) px.
    """

    side: int
    valid: NDArray[np.bool_]
    points_px: NDArray[np.float64]
    joints_cam_mm: NDArray[np.float64]
    depth_mm: NDArray[np.float64]
    box_xyxy: NDArray[np.float64]


def place_of(image: int, entry: Any, hand: int | None = None) -> str:
    """Return what messages call an image of the file, or one of its hands; numbers count from 0, as in JSON.

    >>> place_of(3, {"file": "a.jpg"}, 1)
    "images[3].hands[1] ('a.jpg')"
    """
    name = f" ({shorten(entry['file'])})" if isinstance(entry, Mapping) and "file" in entry else ""
    return f"images[{image}]" + ("" if hand is None else f".hands[{hand}]") + name


def read_file(path: Path) -> tuple[Header, list[Any]]:
    """Read a file; return its header and the entries of its images, which are not looked at yet.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no complete JSON, of another format or version, or its joint order or unit is unknown.
    """
    content = read_json(path, object_hook=_shrink)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        got = {key: content.get(key) for key in ("format", "version")} if isinstance(content, dict) else type(content)
        raise record_error(path, "-", f'"format": "{FORMAT}" and "version": {VERSION}', got)
    refuse_unknown(path, "-", content, FILE_KEYS)
    unit = content.get("unit")
    if unit is not None and unit not in tuple(UNITS_MM):
        raise record_error(path, "-", f"a 'unit' among {tuple(UNITS_MM)}", shorten(unit))
    if not isinstance(content.get("images"), list):
        raise record_error(path, "-", "a list 'images'", shorten(content.get("images")))
    order = _read_order(path, content.get("joint_order"))
    return Header(order, None if unit is None else UNITS_MM[unit]), content["images"]


def _shrink(record: dict[str, Any]) -> dict[str, Any]:
    """Turn the lists of a hand into arrays as soon as they are read."""
    for key in ARRAYS:
        record = shrink(record, key)
    return record


def _read_order(path: Path, named: Any) -> tuple[int, ...]:
    """Return the permutation of a `joint_order`."""
    if isinstance(named, str) and named in JOINT_ORDERS:
        return JOINT_ORDERS[named]
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        try:
            return order_of_names(named)
        except ValueError as error:
            raise DataError(f"{path}: 'joint_order': {error}") from None
    expected = f"a 'joint_order' among {', '.join(JOINT_ORDERS)}, or the list of the names {', '.join(HAND_JOINTS)}"
    raise record_error(path, "-", expected, shorten(named))


def refuse_unknown(path: Path, place: str, entry: Any, known: Sequence[str]) -> None:
    """Refuse what is no dictionary, or has a key that is not known.

    Raises:
        DataError: The message names the key that was probably meant.
    """
    if not isinstance(entry, dict):
        raise record_error(path, place, f"a dictionary with the keys {', '.join(known)}", shorten(entry))
    for key in entry:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f". Is {close[0]!r} meant?" if close else ""
            raise record_error(path, place, f"no other keys than {', '.join(known)}", f"{shorten(key)}{hint}")


def read_image(path: Path, place: str, entry: Any) -> Image:
    """Read the entry of an image, without its hands.

    Raises:
        ValueError: Something in it is wrong.
    """
    refuse_unknown(path, place, entry, IMAGE_KEYS)
    name = check_relative_path(path, place, get_text(path, place, entry, "file"))
    if not isinstance(entry.get("hands"), list):
        raise record_error(path, place, "a list 'hands'", shorten(entry.get("hands")))
    if ("width" in entry) != ("height" in entry):
        raise record_error(path, place, "both 'width' and 'height', or none", f"the keys {list(entry)[:EXAMPLES]}")
    size = (0, 0)
    if "width" in entry:
        size = get_integer(path, place, entry, "width"), get_integer(path, place, entry, "height")
    if "camera" not in entry:
        return Image(name, size, np.zeros(2), np.zeros(2))
    camera = entry["camera"]
    refuse_unknown(path, f"{place}, camera", camera, CAMERA_KEYS)
    focal, point = (numbers_of(path, f"record {place}, camera", key, camera.get(key), (2,)) for key in CAMERA_KEYS)
    return Image(name, size, focal, point)


def read_hand(path: Path, place: str, entry: Any, image: Image, header: Header) -> Hand:
    """Read the entry of a hand.

    Raises:
        ValueError: Something in it is wrong, or contradicts the rest of the file.
    """
    refuse_unknown(path, place, entry, HAND_KEYS)
    if entry.get("side") not in SIDES:
        raise record_error(path, place, f"a 'side' among {SIDES}", shorten(entry.get("side")))
    _check_forms(path, place, entry, image, header)
    order, scale = list(header.order), header.mm_per_unit or np.nan

    def read(key: str, *shape: int) -> NDArray[np.float64]:
        full = (NUM_HAND_JOINTS, *shape)
        return (
            numbers_of(path, f"record {place}", key, entry[key], full)[order] if key in entry else np.full(full, np.nan)
        )

    valid = np.ones(NUM_HAND_JOINTS, dtype=bool)
    if "valid" in entry:
        valid = mask_of(path, f"record {place}", "valid", entry["valid"], (NUM_HAND_JOINTS,))[order]
    box = np.full(4, np.nan)
    if "box_xyxy" in entry:
        box = numbers_of(path, f"record {place}", "box_xyxy", entry["box_xyxy"], (4,))
    cam, depth = read("keypoints_cam", 3) * scale, read("depth") * scale
    if not image.has_camera:
        depth, cam = np.where(np.isnan(depth), cam[:, 2], depth), np.full_like(cam, np.nan)
    return Hand(SIDES.index(entry["side"]), valid, read("keypoints_px", 2), cam, depth - depth[WRIST], box)


def _check_forms(path: Path, place: str, entry: dict[str, Any], image: Image, header: Header) -> None:
    """Refuse joints in a form that says too little, or the same twice."""
    in_image, in_space, in_depth = (key in entry for key in ("keypoints_px", "keypoints_cam", "depth"))
    if not in_image and not in_space:
        raise record_error(path, place, "'keypoints_px' or 'keypoints_cam'", f"the keys {list(entry)}")
    if in_depth and in_space:
        raise record_error(path, place, "'depth' or 'keypoints_cam', which has the depths", "both")
    if in_space and not in_image and not image.has_camera:
        raise record_error(path, place, "a 'camera' of the image, or 'keypoints_px' beside 'keypoints_cam'", "neither")
    if (in_depth or in_space) and header.mm_per_unit is None:
        key = "depth" if in_depth else "keypoints_cam"
        raise record_error(path, place, f"""a "unit" of the file, "mm" or "m", for {key!r}""", "none")


def read_entries(path: Path, record_errors: RecordErrorPolicy) -> tuple[list[Image], list[tuple[int, str, Hand]]]:
    """Read a file; return its images, and of each hand the row of its image, its place in the file, and itself.

    A faulty image is left out with its hands, a faulty hand by itself.

    Raises:
        ValueError: The file as a whole is faulty; or an image or hand is, unless `record_errors` counts them.
    """
    header, entries = read_file(path)
    images: list[Image] = []
    hands: list[tuple[int, str, Hand]] = []
    first_with_name: dict[str, int] = {}
    for number, entry in enumerate(entries):
        place = place_of(number, entry)
        try:
            image = read_image(path, place, entry)
            if (first := first_with_name.setdefault(image.name, number)) != number:
                raise record_error(path, place, "each 'file' once", f"that of images[{first}] a second time")
        except ValueError as error:
            record_errors.add(error)
            continue
        images.append(image)
        for hand_number, hand in enumerate(entry["hands"]):
            place = place_of(number, entry, hand_number)
            try:
                hands.append((len(images) - 1, place, read_hand(path, place, hand, image, header)))
            except ValueError as error:
                record_errors.add(error)
    return images, hands


def write_file(
    path: Path, joint_order: str, images: Iterable[Mapping[str, Any]], unit: str | None = None, comment: str = ""
) -> None:
    """Write a file, one image a line, whole or not at all.

    Args:
        path: The file.
        joint_order: One of `JOINT_ORDERS`.
        images: The entries, as the module's text has them.
        unit: 'mm' or 'm', where the hands have depths.
        comment: Where they come from.
    """
    head: dict[str, Any] = {"format": FORMAT, "version": VERSION, "joint_order": joint_order}
    head |= {key: value for key, value in (("unit", unit), ("comment", comment)) if value}
    lines = ",\n".join(json.dumps(image, allow_nan=False) for image in images)
    write_atomically(path, json.dumps(head)[:-1] + f', "images": [\n{lines}\n]}}\n')
