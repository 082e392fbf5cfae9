"""The annotations of the Rendered Hand Pose data set (RHD; RHP in papers), from its pickles or from a COCO-style JSON.

Needs no images, but masks. Facts: the data set's own reader (hand3d), the loaders of InterNet and mmpose, and three
real samples. What differs from the canonical form, each turned in a function of its own: the left hand comes first, the
wrist comes first, the pickles are in metres (the JSON files are in mm), and a joint that is not seen has the flag 0.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.coco_json import by_id, read_coco
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import (
    Hands,
    Skip,
    box_fact,
    camera_facts,
    check_typical_reach,
    image_size_fact,
    keep_sound,
    pinhole_of_matrix,
)
from dfmamba.geometry import metres_to_mm, project, tight_box
from dfmamba.io.files import (
    check_relative_path,
    get_array,
    get_integer,
    get_key,
    get_text,
    read_image_size,
    read_pickle,
    shorten,
)
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import (
    FROM_RHD,
    FROM_RHD_HAND,
    LEFT,
    NUM_HAND_JOINTS,
    ONE_HAND,
    RIGHT,
    SIDES,
    TWO_HANDS,
    WRIST,
    hand_slice,
)

PARSER_VERSION = 3  # another number makes old indices useless
IMAGE_SIZE = (320, 320)  # width, height in px, of the set's own images
CHUNK = 1000  # records checked at a time, so that a faulty one is named soon: masks take long to read
HAND_CHOICES = ("prominent", "most_pixels", "most_visible", "right", "left")
VALIDITIES = ("visible", "annotated")
BOX_ENLARGEMENT = 1.2  # of the tight box of the valid joints, as in the published JSON files
MASK_CLASSES = {LEFT: (2, 17), RIGHT: (18, 33)}  # first and last class of a hand; 0 is background, 1 the person
HAND_CLASSES = range(MASK_CLASSES[LEFT][0], MASK_CLASSES[RIGHT][1] + 1)

COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {  # name: shape of an entry, type
    "annotation_id": ((), np.int64),
    "image_id": ((), np.int64),
    "file_name": ((), np.bytes_),
    "side": ((), np.int8),
    "joints_cam_mm": ((NUM_HAND_JOINTS, 3), np.float32),
    "joint_valid": ((NUM_HAND_JOINTS,), np.bool_),
    "joint_seen": ((NUM_HAND_JOINTS,), np.bool_),
    "bbox_xywh": ((4,), np.float32),
    "focal_px": ((2,), np.float32),
    "principal_point_px": ((2,), np.float32),
    "image_size": ((2,), np.int32),
}


class Hand(NamedTuple):
    """One hand in an image, in canonical order.

    Attributes:
        annotation_id: Number of the annotation.
        image_id: Number of the image.
        file_name: Relative to the folder of the colour images.
        side: `RIGHT` or `LEFT`.
        joints_mm: (21, 3), camera space.
        seen: (21,), the flag of the file.
        focal_px: (2,).
        principal_point_px: (2,).
        bbox_xywh: (4,) px, the file's box; None where it has none.
        image_size: Width and height in px; 0 where the file does not say it.
    """

    annotation_id: int
    image_id: int
    file_name: str
    side: int
    joints_mm: NDArray[np.floating]
    seen: NDArray[np.bool_]
    focal_px: NDArray[np.floating]
    principal_point_px: NDArray[np.floating]
    bbox_xywh: NDArray[np.floating] | None
    image_size: tuple[int, int]


def image_name(number: int) -> str:
    """Return the name of the image, and of the mask, of a frame of the pickles.

    >>> image_name(7)
    '00007.png'
    """
    return f"{number:05d}.png"


def right_hand_first(joints: NDArray[Any]) -> NDArray[Any]:
    """Turn RHD's 42 joints (42, ...), left hand first, into canonical order, right hand first."""
    return joints[list(FROM_RHD)]


def wrist_last(joints: NDArray[Any]) -> NDArray[Any]:
    """Turn one hand of RHD (21, ...), wrist first, into canonical order."""
    return joints[list(FROM_RHD_HAND)]


def seen_flags(flags: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Turn RHD's flags, 1 for a joint that is visible and 0 for one that is hidden or outside, into bool."""
    return flags > 0


def side_with_most_pixels(mask: NDArray[np.integer]) -> int:
    """Return the hand with more pixels in RHD's mask of class numbers (H, W); the right one if they are equal."""
    pixels = {side: np.count_nonzero((mask >= first) & (mask <= last)) for side, (first, last) in MASK_CLASSES.items()}
    return LEFT if pixels[LEFT] > pixels[RIGHT] else RIGHT


def side_with_most_seen_joints(seen: NDArray[np.bool_]) -> int:
    """Return the hand with more visible joints (42,) in canonical order; the right one if they are equal."""
    return LEFT if seen[hand_slice(LEFT)].sum() > seen[hand_slice(RIGHT)].sum() else RIGHT


def with_wrist(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which joints (21,) of a hand are valid: the seen ones, and the wrist, which they are relative to."""
    valid = seen.copy()
    valid[WRIST] = True
    return valid


def parse_rhp(
    ann_file: str | Path,
    mask_folder: str | Path | None = None,
    hand: str = "prominent",
    validity: str = "visible",
    record_errors: RecordErrorPolicy | None = None,
) -> AnnotationColumns:
    """Read the annotations, one record for each frame of the pickles, or each annotation of the JSON file.

    The columns, N records: `annotation_id`, `image_id`, `file_name`, `side`, `joints_cam_mm` (N, 21, 3) in canonical
    order, also where they are not valid, `joint_valid` and `joint_seen` (N, 21), which differ in the wrist, `bbox_xywh`
    (N, 4) px, `focal_px` and `principal_point_px` (N, 2), `image_size` (N, 2) px, 0 where it is not known.

    A frame of the pickles has two hands, and one is used. Published rules for the choice (`hand`):
        prominent: From a JSON file, the hand that its author chose (InterNet's files, hence A2J-Transformer; how they
            chose is not documented). From the pickles, `most_pixels`.
        most_pixels: The hand with more pixels in the mask, the right one if equal (hand3d, by the set's authors).
        most_visible: The hand with more visible joints, the right one if equal (BiHand, minimal-hand-pytorch).
        right, left: That hand; the other ones are left out.

    The wrist counts as valid where another joint is: its position is always known (the set is rendered), and the other
    joints are relative to it. Its root-relative error is 0, so a mean over joints of per-joint means does not change.
    The box is the file's; without one (pickles), 1.2 times the tight box of the valid joints, without a hidden wrist.

    Args:
        ann_file: `anno_training.pickle` or `anno_evaluation.pickle`, or a `.json` file.
        mask_folder: Folder of the masks, for `most_pixels` only.
        hand: One of `HAND_CHOICES`.
        validity: 'visible': valid joints are those with the flag (`joint_valid` of a JSON file, or else the third
            number of its `keypoints`). 'annotated': all joints with a position, seen or not.
        record_errors: What happens to faulty records; they raise by default.

    Raises:
        FileNotFoundError: A mask does not exist.
        ValueError: A choice is unknown or impossible; the file is cut short or holds more than plain data; a record is
            faulty: its number was there before, a key is missing, a shape is wrong, a file name leaves the folder, a
            mask has no hand though joints are visible, or joints, camera, box or image size are no hand's (see
            `dfmamba.datasets.validation`); or the hands of the whole set are too small or too large. (Hands with a
            valid joint behind the camera or without a valid joint, and frames whose mask and flags agree that there is
            no hand to choose, are left out and counted.)
    """
    path, record_errors = Path(ann_file), record_errors or RecordErrorPolicy()
    check_choices(path, hand, validity)
    records: _Annotations | _Frames = (
        _Annotations(path, hand, record_errors) if is_coco(path) else _Frames(path, hand, mask_folder, record_errors)
    )
    parts: list[dict[str, NDArray[Any]]] = []
    reach_mm: list[NDArray[np.float32]] = []
    skipped: Counter[str] = Counter()
    for rows in _read_chunks(path, records, validity, record_errors, skipped):
        sound, reach = _check(path, rows, record_errors, skipped)
        parts.append({name: column[sound].astype(COLUMNS[name][1]) for name, column in rows.items()})
        reach_mm.append(reach)
    check_typical_reach(path, np.concatenate(reach_mm), _unit(path))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    return AnnotationColumns(columns, dict(skipped) | record_errors.skipped)


def _read_chunks(
    path: Path,
    records: "_Annotations | _Frames",
    validity: str,
    record_errors: RecordErrorPolicy,
    skipped: Counter[str],
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the columns of up to `CHUNK` records at a time, at least once; lengths still in float64."""

    def columns_of(rows: list[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
        return {
            name: np.array([row[number] for row in rows], dtype=np.float64 if type_ is np.float32 else type_).reshape(
                len(rows), *shape
            )
            for number, (name, (shape, type_)) in enumerate(COLUMNS.items())
        }

    rows: list[tuple[Any, ...]] = []
    for number in tqdm(records.numbers, desc=f"reading {path.name}", delay=2, disable=None):
        try:
            rows.append(_make_row(records.read(number), validity))
        except Skip as reason:
            skipped[str(reason)] += 1
        except (ValueError, FileNotFoundError) as error:
            record_errors.add(error)
        if len(rows) == CHUNK:
            yield columns_of(rows)
            rows = []
    yield columns_of(rows)


def _check(
    path: Path, rows: dict[str, NDArray[Any]], record_errors: RecordErrorPolicy, skipped: Counter[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which rows (n,) are sound, and the reach of their hands in mm."""
    joints = rows["joints_cam_mm"]
    hands = Hands(lambda part: joints[part], rows["joint_valid"], ONE_HAND, ONE_HAND.roots)
    facts = [
        *camera_facts(path, rows["focal_px"], rows["principal_point_px"]),
        *hands.facts(path, "joint_cam" if is_coco(path) else "xyz", _unit(path), "joint behind the camera"),
        box_fact(path, rows["bbox_xywh"]),
        image_size_fact(path, rows["image_size"]),
    ]
    sound = keep_sound(rows["annotation_id"], facts, record_errors, skipped)
    return sound, hands.typical_reach_mm(sound)


def _unit(path: Path) -> str:
    return "mm" if is_coco(path) else "m"


def is_coco(path: str | Path) -> bool:
    """Return whether an annotation file is a COCO-style JSON; else it is one of the set's own pickles."""
    return Path(path).suffix.lower() == ".json"


def check_choices(path: str | Path, hand: str, validity: str) -> None:
    """Refuse unknown choices, and choosing a hand by a rule where the file has chosen already.

    Raises:
        ValueError: A choice is unknown, or the file has chosen already.
    """
    if hand not in HAND_CHOICES:
        raise ValueError(f"hand: expected one of {HAND_CHOICES}, got {hand!r}")
    if validity not in VALIDITIES:
        raise ValueError(f"validity: expected one of {VALIDITIES}, got {validity!r}")
    if is_coco(path) and hand in ("most_pixels", "most_visible"):
        raise ValueError(
            f"hand: expected 'prominent', 'right' or 'left' for {path}, which holds one hand of each "
            f"image, got {hand!r}. The pickles hold both"
        )


class _Frames:
    """Reads the set's own pickle: {number: {'xyz': (42, 3) m, 'uv_vis': (42, 3), 'K': (3, 3)}}."""

    def __init__(self, path: Path, hand: str, mask_folder: str | Path | None, record_errors: RecordErrorPolicy) -> None:
        self.path, self.hand = path, "most_pixels" if hand == "prominent" else hand
        self.masks = Path(mask_folder) if mask_folder is not None else path.parent / "mask"
        frames = read_pickle(path)
        if not isinstance(frames, dict):
            raise record_error(path, "-", "a dictionary of frames by number", f"a {type(frames).__name__}")
        self.frames = by_id(
            path,
            "number",
            frames.items(),
            record_errors,
            lambda _, item: get_integer(path, item[0], {"number": item[0]}, "number"),
        )
        self.numbers = list(self.frames)

    def read(self, record: int) -> Hand:
        """Return the chosen hand of a frame, which is dropped from memory."""
        _, frame = self.frames.pop(record)
        xyz = get_array(self.path, record, frame, "xyz", (TWO_HANDS.num_joints, 3))
        uv_seen = get_array(self.path, record, frame, "uv_vis", (TWO_HANDS.num_joints, 3))
        focal, principal_point = pinhole_of_matrix(self.path, record, get_array(self.path, record, frame, "K", (3, 3)))
        seen = right_hand_first(seen_flags(uv_seen[:, 2]))
        side = self._choose(record, seen)
        return Hand(
            annotation_id=record,
            image_id=record,
            file_name=image_name(record),
            side=side,
            joints_mm=metres_to_mm(right_hand_first(xyz))[hand_slice(side)],
            seen=seen[hand_slice(side)],
            focal_px=focal,
            principal_point_px=principal_point,
            bbox_xywh=None,
            image_size=IMAGE_SIZE,
        )

    def _choose(self, record: int, seen: NDArray[np.bool_]) -> int:
        """Return the side that the rule names, of a frame whose joints (42,) are seen or not."""
        if self.hand in SIDES:
            return SIDES.index(self.hand)
        if self.hand == "most_visible":
            return side_with_most_seen_joints(seen)
        mask_path = self.masks / image_name(record)
        mask = read_mask(mask_path)
        if not ((mask >= HAND_CLASSES[0]) & (mask <= HAND_CLASSES[-1])).any():  # then there is nothing to choose by
            if seen.any():
                raise record_error(
                    mask_path,
                    record,
                    f"pixels of a hand (classes {HAND_CLASSES[0]} to {HAND_CLASSES[-1]}), "
                    f"for the pickle says that {seen.sum()} joints are visible",
                    "none",
                )
            raise Skip("no hand in the mask")
        return side_with_most_pixels(mask)


def read_mask(path: Path) -> NDArray[Any]:
    """Read a mask of class numbers, (H, W).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, or one too large.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no such file: {path} (a mask, which decides on the hand; hand='most_visible', "
            "of tools/score.py --hand most_visible, needs none)"
        )
    read_image_size(path)
    try:
        with Image.open(path) as image:
            mask = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a mask, got an image that cannot be decoded: {error}. Is the download cut short?"
        ) from error
    return mask if mask.ndim == 2 else mask[..., 0]  # some copies have the number in three channels


class _Annotations:
    """Reads a COCO-style JSON with one hand in each annotation: InterNet's, or mmpose's."""

    def __init__(self, path: Path, hand: str, record_errors: RecordErrorPolicy) -> None:
        self.path, self.hand = path, hand
        self.images, self.annotations = read_coco(path, _shrink, record_errors)
        self.numbers = list(self.annotations)

    def read(self, record: int) -> Hand:
        """Return the hand of an annotation, which is dropped from memory."""
        path, annotation = self.path, self.annotations.pop(record)
        hand_type = get_key(path, record, annotation, "hand_type")
        if hand_type not in SIDES:
            raise record_error(path, record, f"a 'hand_type' among {SIDES}", shorten(hand_type))
        if self.hand in SIDES and hand_type != self.hand:
            raise Skip("hand not selected")
        image_id = get_integer(path, record, annotation, "image_id")
        if image_id not in self.images:
            raise record_error(path, record, f"an image with the id {image_id}", "none in 'images'")
        image = self.images[image_id]
        camera = get_key(path, record, image, "cam_param")
        joints = get_array(path, record, annotation, "joint_cam", (NUM_HAND_JOINTS, 3))
        box = get_array(path, record, annotation, "bbox", (4,)) if "bbox" in annotation else None
        return Hand(
            annotation_id=record,
            image_id=image_id,
            file_name=check_relative_path(path, record, get_text(path, record, image, "file_name")),
            side=SIDES.index(hand_type),
            joints_mm=wrist_last(joints),
            seen=wrist_last(self._seen(record, annotation)),
            focal_px=get_array(path, record, camera, "focal", (2,)),
            principal_point_px=get_array(path, record, camera, "princpt", (2,)),
            bbox_xywh=box,
            image_size=self._size(record, image),
        )

    def _size(self, record: int, image: dict[str, Any]) -> tuple[int, int]:
        """Return width and height in px; 0 where the file does not say it."""
        width, height = (
            get_integer(self.path, record, image, key) if key in image else 0 for key in ("width", "height")
        )
        return width, height

    def _seen(self, record: int, annotation: dict[str, Any]) -> NDArray[np.bool_]:
        """Return the flags (21,), wrist first: `joint_valid` (InterNet), or from `keypoints` u, v, flag (mmpose)."""
        if "joint_valid" in annotation or "keypoints" not in annotation:
            return seen_flags(get_array(self.path, record, annotation, "joint_valid", (NUM_HAND_JOINTS,)))
        return seen_flags(get_array(self.path, record, annotation, "keypoints", (NUM_HAND_JOINTS, 3))[:, 2])


def _shrink(record: dict[str, Any]) -> dict[str, Any]:
    """Turn the nested lists of an annotation into arrays, an eighth of their size, as soon as they have been read."""
    for key in ("joint_cam", "joint_img", "joint_valid", "keypoints"):
        if isinstance(record.get(key), list):
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # get_array then names the record
                record[key] = np.array(record[key], dtype=np.float64)
    return record


def _box_of_joints(
    points_px: NDArray[np.floating], seen: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return the box (4,) of the seen joints; of the wrist as well, where a single joint is seen."""
    box = tight_box(points_px, seen, BOX_ENLARGEMENT)
    return box if (box[2:] > 0).all() else tight_box(points_px, valid, BOX_ENLARGEMENT)


@np.errstate(all="ignore")  # of faulty records, which are told apart afterwards
def _make_row(hand: Hand, validity: str) -> tuple[Any, ...]:
    """Return the entries of a record in the order of `COLUMNS`, with a box."""
    seen = hand.seen if validity == "visible" else np.ones_like(hand.seen)
    if not np.delete(seen, WRIST).any():
        raise Skip("no valid joint")
    valid, box = with_wrist(seen), hand.bbox_xywh
    if box is None:
        box = _box_of_joints(project(hand.joints_mm, hand.focal_px, hand.principal_point_px), seen, valid)
    return (
        hand.annotation_id,
        hand.image_id,
        hand.file_name.encode(),
        hand.side,
        hand.joints_mm,
        valid,
        seen,
        box,
        hand.focal_px,
        hand.principal_point_px,
        np.clip(hand.image_size, -1, 2**31 - 1),
    )
