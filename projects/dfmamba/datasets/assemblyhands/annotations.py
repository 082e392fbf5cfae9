"""The annotation files of AssemblyHands' ego views (v1.1), read into arrays.

Needs no images. Facts: the official toolkit's loader and README. What differs from InterHand2.6M, whose
joint order is shared: extrinsics are R X + t and belong to a frame, for the headset moves; boxes are x0, y0, x1, y1 and
each hand has its own; the calibration's camera names have a suffix; frames are named by six digits. Joints that are not
annotated, and all joints of held-out splits, are [1, 1, 1].
"""

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.coco_json import read_coco
from dfmamba.datasets.lookup_table import LookupTable
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import (
    Fact,
    Hands,
    Skip,
    box_fact,
    camera_facts,
    check_typical_reach,
    get_two_hands,
    image_size_fact,
    in_float32,
    keep_sound,
    pinhole_of_matrix,
    pose_facts,
)
from dfmamba.geometry import move_rigidly, xyxy_to_xywh
from dfmamba.io.files import check_relative_path, get_array, get_integer, get_key, get_text, shorten
from dfmamba.io.json_files import read_json
from dfmamba.io.record_errors import record_error
from dfmamba.io.regular_files import read_text
from dfmamba.skeleton import NUM_HAND_JOINTS, ONE_HAND, SIDES, TWO_HANDS, WRIST, hand_slice

PARSER_VERSION = 2  # another number makes old indices useless
CAMERA_SUFFIX = "_mono10bit"
RECORD_COLUMNS = ("annotation_id", "image", "side", "joint_valid", "bbox_xyxy")
MIN_VALID_JOINTS = 10  # the toolkit leaves out hands with fewer
CROP_ENLARGEMENT, MIN_CROP_PX = 1.75, 100  # the toolkit's crop: the long side of the box times 1.75, at least 100 px


class Annotation(NamedTuple):
    """What both hands of an annotation share.

    Attributes:
        record: Its id.
        image: Row of the image.
        boxes: `{"right": [x0, y0, x1, y1] or None, "left": ...}`.
        flags: (42,), `joint_valid`.
    """

    record: int
    image: int
    boxes: dict[str, Any]
    flags: NDArray[np.bool_]


def calibration_name(camera: str) -> str:
    """Return the name that the calibration file has for a camera of the annotations.

    >>> calibration_name("HMC_84346135")
    'HMC_84346135_mono10bit'
    """
    return camera + CAMERA_SUFFIX


def frame_key(frame_idx: int) -> str:
    """Return the key of a frame in the calibration and joint files.

    >>> frame_key(520)
    '000520'
    """
    return f"{frame_idx:06d}"


def is_annotated(world_mm: ArrayLike) -> NDArray[np.bool_]:
    """Say which joints (..., 3) are more than the mark [1, 1, 1]."""
    return (np.asarray(world_mm) != 1).any(axis=-1)


def large_enough(boxes_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Enlarge boxes (..., 4) xyxy in px about their center so that the crop around each has at least 100 px.

    Sides below 100 / 1.75 px become that long; then the crop, the long side times 1.75, is the toolkit's.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    center, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    half = np.maximum(size, MIN_CROP_PX / CROP_ENLARGEMENT) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def parse_assemblyhands(
    data_file: str | Path,
    calib_file: str | Path,
    joint_file: str | Path,
    invalid_file: str | Path | None = None,
    record_errors: RecordErrorPolicy | None = None,
) -> AnnotationColumns:
    """Read the files of a split: one record for each hand that has a box, in an annotation first the right one.

    Columns of the N records: `annotation_id`, `image` (row), `side`, `joint_valid` (N, 21), `bbox_xyxy` (N, 4) px. Of
    the M images: `image_id`, `file_name`, `frame_idx`, `image_size` (M, 2) px, `camera` and `frame` (rows), `rotation`
    (M, 3, 3) and `translation_mm` (M, 3), world to camera: R X + t. Of the C cameras of the sequences: `camera_name`,
    `sequence_name`, `focal_px` (C, 2), `principal_point_px` (C, 2). Of the F frames: `world_mm` (F, 42, 3).

    Left out and counted, as in the toolkit: hands with fewer than 10 valid joints, and those that `invalid_file` names.
    Beyond the toolkit: hands whose coordinates are withheld ([1, 1, 1]), whose wrist is not valid (nothing to be
    relative to; the toolkit measures from the mark), with a valid joint behind the camera, with a box beside the image.

    Args:
        data_file: `assemblyhands_<split>_ego_data_v1-1.json`.
        calib_file: `assemblyhands_<split>_ego_calib_v1-1.json`.
        joint_file: `assemblyhands_<split>_joint_3d_v1-1.json`.
        invalid_file: `invalid_<split>_ego.txt`, which the toolkit writes: `file_name,hand`, 0 is right and 1 left.
        record_errors: What happens to faulty records; they raise by default.

    Raises:
        ValueError: A file is cut short; a record is faulty: a key, image, sequence, frame or camera is missing, an id
            comes twice, a shape is wrong, a file name leaves the folder, or joints, camera, box or image size are no
            hand's (see `dfmamba.datasets.validation`); or the hands of the whole set are too small or too large.
    """
    record_errors = record_errors or RecordErrorPolicy()
    records = _Records(
        Path(data_file),
        Path(calib_file),
        Path(joint_file),
        Path(invalid_file) if invalid_file is not None else None,
        record_errors,
    )
    rows: list[tuple[Any, ...]] = []
    skipped: Counter[str] = Counter()
    for number in tqdm(records.numbers, desc=f"reading {Path(data_file).name}", delay=2, disable=None):
        try:
            annotation = records.read(number)
        except ValueError as error:
            record_errors.add(error)
            continue
        for side, name in enumerate(SIDES):
            if annotation.boxes[name] is None:
                continue
            try:
                rows.append(records.hand(annotation, side))
            except Skip as reason:
                skipped[str(reason)] += 1
            except ValueError as error:
                record_errors.add(error)
    columns = _columns(rows, records)
    hands = Hands(lambda part: joints_in_camera(columns, part), columns["joint_valid"], ONE_HAND, ONE_HAND.roots)
    facts = [
        *_camera_facts(records, columns),
        *hands.facts(records.joint_path, "world_coord", "mm", "joint behind the camera"),
        *_box_facts(records, columns),
    ]
    sound = keep_sound(columns["annotation_id"], facts, record_errors, skipped)
    check_typical_reach(records.joint_path, hands.typical_reach_mm(sound), "mm")
    columns |= {name: columns[name][sound] for name in RECORD_COLUMNS}
    return AnnotationColumns(columns, dict(skipped) | record_errors.skipped)


def _camera_facts(records: "_Records", columns: Mapping[str, NDArray[Any]]) -> list[Fact]:
    """Return what should be true of the records' cameras."""

    def camera_of(row: int) -> str:
        return f"for the camera {columns['camera_name'][row].decode()!r}"

    def image_of(row: int) -> str:
        return f"{camera_of(columns['camera'][row])} in the frame {frame_key(int(columns['frame_idx'][row]))!r}"

    image = columns["image"]
    poses = pose_facts(records.calib_path, columns["rotation"], columns["translation_mm"], image_of)
    cameras = camera_facts(records.calib_path, columns["focal_px"], columns["principal_point_px"], camera_of)
    return [*(fact.of_rows(image) for fact in poses), *(fact.of_rows(columns["camera"][image]) for fact in cameras)]


def _box_facts(records: "_Records", columns: Mapping[str, NDArray[Any]]) -> list[Fact]:
    """Return what should be true of the records' boxes and image sizes."""
    boxes, size = columns["bbox_xyxy"], columns["image_size"][columns["image"]]
    meets = (np.minimum(boxes[:, 2:], size) > np.maximum(boxes[:, :2], 0)).all(axis=1)
    return [
        image_size_fact(records.data_path, columns["image_size"], required=True).of_rows(columns["image"]),
        replace(
            box_fact(records.data_path, xyxy_to_xywh(boxes), "a box [x0, y0, x1, y1] in px with x0 < x1 and y0 < y1"),
            got=lambda row: f"{boxes[row].tolist()} for {SIDES[columns['side'][row]]!r}",
        ),
        Fact(
            records.data_path,
            "a box that meets the image",
            meets,
            lambda row: boxes[row].tolist(),
            reason="box beside the image",
        ),
    ]


def joints_in_camera(columns: Mapping[str, NDArray[Any]], rows: int | slice) -> NDArray[np.floating]:
    """Return the joints of the records' hands in camera space, (21, 3) in mm of a row, or (n, 21, 3) of a slice."""
    image, side = columns["image"][rows], columns["side"][rows]
    joints = np.arange(NUM_HAND_JOINTS) + side[..., None].astype(np.intp) * NUM_HAND_JOINTS
    return move_rigidly(
        columns["world_mm"][columns["frame"][image][..., None], joints],
        columns["rotation"][image],
        columns["translation_mm"][image][..., None, :],
    )


class _Records:
    """Reads one annotation after the other; images, cameras and frames go into tables."""

    def __init__(
        self,
        data_path: Path,
        calib_path: Path,
        joint_path: Path,
        invalid_path: Path | None,
        record_errors: RecordErrorPolicy,
    ) -> None:
        self.data_path, self.calib_path, self.joint_path = data_path, calib_path, joint_path
        self.listed, self.annotations = read_coco(data_path, _shrink, record_errors)
        self.numbers = list(self.annotations)
        self.calibration = get_key(calib_path, "-", read_json(calib_path, object_hook=_shrink), "calibration")
        self.joints = get_key(joint_path, "-", read_json(joint_path, object_hook=_shrink), "annotations")
        self.invalid = _read_invalid(invalid_path) if invalid_path is not None else set()
        self.images, self.cameras, self.frames = (
            LookupTable(self._image),
            LookupTable(self._camera),
            LookupTable(self._frame),
        )

    def read(self, record: int) -> Annotation:
        """Return an annotation, which is dropped from memory."""
        path, annotation = self.data_path, self.annotations.pop(record)
        boxes = get_key(path, record, annotation, "bbox")
        if not isinstance(boxes, dict) or not set(SIDES) <= set(boxes):
            raise record_error(
                path, record, "a 'bbox' {'right': [x0, y0, x1, y1] or null, 'left': likewise}", shorten(boxes)
            )
        flags = get_two_hands(path, record, annotation, "joint_valid") > 0
        return Annotation(
            record, self.images.row_of(record, get_integer(path, record, annotation, "image_id")), boxes, flags
        )

    def hand(self, annotation: Annotation, side: int) -> tuple[int, int, int, NDArray[np.bool_], NDArray[np.float64]]:
        """Return annotation id, image, side, validity and box of one hand.

        Raises:
            Skip: The hand is left out.
            ValueError: It is faulty.
        """
        record, (_, file_name, _, _, _, frame, *_) = annotation.record, self.images.rows[annotation.image]
        if (file_name, side) in self.invalid:
            raise Skip("named in the invalid file")
        flags, world = annotation.flags[hand_slice(side)], self.frames.rows[frame][0][hand_slice(side)]
        if flags.sum() < MIN_VALID_JOINTS:
            raise Skip(f"fewer than {MIN_VALID_JOINTS} valid joints")
        valid = flags & is_annotated(world)
        if valid.sum() < MIN_VALID_JOINTS:
            raise Skip("coordinates withheld")
        if not valid[WRIST]:
            raise Skip("root invalid")
        return (
            record,
            annotation.image,
            side,
            valid,
            get_array(self.data_path, record, annotation.boxes, SIDES[side], (4,)),
        )

    def _image(
        self, record: object, image_id: int
    ) -> tuple[int, str, int, tuple[int, int], int, int, NDArray[np.float64], NDArray[np.float64]]:
        """Return id, file name, frame index, size, camera, frame, rotation and translation of an image."""
        path, image = self.data_path, self.listed.get(image_id)
        if image is None:
            raise record_error(path, record, f"an image with the id {image_id}", "none in 'images'")
        file_name = check_relative_path(path, record, get_text(path, record, image, "file_name"))
        size = get_integer(path, record, image, "width"), get_integer(path, record, image, "height")
        sequence, camera = (get_text(path, record, image, key) for key in ("seq_name", "camera"))
        frame_idx = get_integer(path, record, image, "frame_idx")
        return (
            image_id,
            file_name,
            frame_idx,
            size,
            self.cameras.row_of(record, sequence, camera),
            self.frames.row_of(record, sequence, frame_key(frame_idx)),
            *self._extrinsics(record, sequence, frame_key(frame_idx), camera),
        )

    def _camera(
        self, record: object, sequence: str, camera: str
    ) -> tuple[str, str, NDArray[np.float64], NDArray[np.float64]]:
        """Return name, sequence, focal lengths and principal point of a camera."""
        path, name = self.calib_path, calibration_name(camera)
        table = get_key(path, record, get_key(path, record, self.calibration, sequence, "the sequence"), "intrinsics")
        matrix = get_array(path, record, table, name, (3, 3), "an entry in 'intrinsics' for the camera")
        return camera, sequence, *pinhole_of_matrix(path, record, matrix)

    def _extrinsics(
        self, record: object, sequence: str, frame: str, camera: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return rotation (3, 3) and translation (3,) in mm, world to camera, of a camera in a frame."""
        path, name = self.calib_path, calibration_name(camera)
        table = get_key(path, record, get_key(path, record, self.calibration, sequence, "the sequence"), "extrinsics")
        frames = get_key(path, record, table, frame, "an entry in 'extrinsics' for the frame")
        matrix = get_array(path, record, frames, name, (3, 4), "an entry in 'extrinsics' for the camera")
        return matrix[:, :3], matrix[:, 3]

    def _frame(self, record: object, sequence: str, frame: str) -> tuple[NDArray[np.float64]]:
        """Return the world coordinates of a frame, (42, 3) in mm; keys that we do not know are ignored."""
        path = self.joint_path
        frames = get_key(path, record, self.joints, sequence, "the sequence")
        entry = get_key(path, record, frames, frame, "the frame")
        return (get_two_hands(path, record, entry, "world_coord", 3),)


def _shrink(entry: dict[str, Any]) -> dict[str, Any]:
    """Turn nested lists of numbers into arrays, a tenth of their size, as soon as they have been read."""
    entry.pop("keypoints", None)  # the projection of `world_coord`, and by far the largest part
    for key, value in entry.items():
        if isinstance(value, list) and value:
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # get_array then names the record
                entry[key] = np.array(value, dtype=np.float64)
    return entry


def _read_invalid(path: Path) -> set[tuple[str, int]]:
    """Return file name and side of the hands that a file of the toolkit leaves out."""
    hands = set()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        file_name, _, side = line.strip().rpartition(",")
        if not file_name or side not in ("0", "1"):
            raise record_error(
                path, f"(line {number})", "'file_name,hand' with 0 for right or 1 for left", repr(line[:200])
            )
        hands.add((check_relative_path(path, f"(line {number})", file_name), int(side)))
    return hands


def _columns(rows: list[tuple[Any, ...]], records: _Records) -> dict[str, NDArray[Any]]:
    """Return the columns that `parse_assemblyhands` names."""
    annotation_id, image, side, valid, box = zip(*rows, strict=True) if rows else ((),) * 5
    images, cameras, frames = records.images, records.cameras, records.frames
    return {
        "annotation_id": np.array(annotation_id, dtype=np.int64),
        "image": np.array(image, dtype=np.int32),
        "side": np.array(side, dtype=np.int8),
        "joint_valid": np.array(valid, dtype=np.bool_).reshape(-1, NUM_HAND_JOINTS),
        "bbox_xyxy": in_float32(box).reshape(-1, 4),
        "image_id": images.column(0, dtype=np.int64),
        "file_name": np.array([name.encode() for _, name, *_ in images.rows], dtype=np.bytes_),
        "frame_idx": images.column(2, dtype=np.int64),
        "image_size": images.column(3, 2, dtype=np.int64),
        "camera": images.column(4, dtype=np.int32),
        "frame": images.column(5, dtype=np.int32),
        "rotation": images.column(6, 3, 3),
        "translation_mm": images.column(7, 3),
        "camera_name": np.array([name.encode() for name, *_ in cameras.rows], dtype=np.bytes_),
        "sequence_name": np.array([name.encode() for _, name, *_ in cameras.rows], dtype=np.bytes_),
        "focal_px": cameras.column(2, 2),
        "principal_point_px": cameras.column(3, 2),
        "world_mm": in_float32(frames.column(0, TWO_HANDS.num_joints, 3)),
    }
