"""The annotation files of InterHand2.6M v1.0 (5 and 30 frames per second, all splits), read into arrays.

Needs no images and no torch. Facts: the data set's own README and the loader of InterNet. A joint is valid where the
annotation says so and the wrist of its hand is valid too. Joints that are not annotated hold [1, 1, 1].
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.files import Faults, check_boxes, fault, get_array, get_integer, get_key, read_json
from dfmamba.geometry import world_to_camera
from dfmamba.skeleton import TWO_HANDS

PARSER_VERSION = 1  # another number makes old indices useless
ROOTNET_ENLARGEMENT = 1.25  # RootNet's boxes come after InterNet's crop rule: already square, already enlarged by this
HAND_TYPES = {"right": (True, False), "left": (False, True), "interacting": (True, True)}  # (right, left)


RECORD_COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {  # name: shape of an entry, type while reading
    "annotation_id": ((), np.int64), "image_id": ((), np.int64), "file_name": ((), object),
    "bbox_xywh": ((4,), np.float32), "joint_valid": ((TWO_HANDS.num_joints,), np.bool_),
    "hand_type": ((2,), np.bool_), "hand_type_valid": ((), np.bool_),
    "subject": ((), np.int32), "frame_idx": ((), np.int32),
    "sequence": ((), np.int32), "frame": ((), np.int32), "camera": ((), np.int32),
}


class _Table:
    """Rows made one by one, at the first mention of their key."""

    def __init__(self, make_row: Callable[..., tuple]) -> None:
        self.make_row = make_row
        self.index: dict[tuple[str, ...], int] = {}
        self.rows: list[tuple] = []

    def row_of(self, record: object, *key: str) -> int:
        """Return the number of the row with this key; `record` is named in errors."""
        if key not in self.index:
            self.rows.append(self.make_row(record, *key))
            self.index[key] = len(self.rows) - 1
        return self.index[key]

    def column(self, number: int, *shape: int, dtype: Any = np.float64) -> NDArray:
        """Return one entry of all rows, (rows, *shape)."""
        return np.array([row[number] for row in self.rows], dtype=dtype).reshape(len(self.rows), *shape)


class _Records:
    """Reads one annotation after the other; frames, cameras and sequences go into tables."""

    def __init__(self, data_path: Path, camera_path: Path, joint_path: Path) -> None:
        self.data_path, self.camera_path, self.joint_path = data_path, camera_path, joint_path
        data = read_json(data_path, object_hook=_shrink)
        self.annotations = get_key(data_path, "-", data, "annotations")
        self.images = {get_integer(data_path, f"(image number {number})", image, "id"): image
                       for number, image in enumerate(get_key(data_path, "-", data, "images"))}
        camera_captures, joint_captures = read_json(camera_path), read_json(joint_path)
        self.cameras = _Table(lambda *key: self._camera(camera_captures, *key))
        self.frames = _Table(lambda *key: self._frame(joint_captures, *key))
        self.sequences = _Table(lambda record, name: (name,))

    def _camera(self, captures: Any, record: object, capture: str, camera: str) -> tuple:
        """Return name, capture, rotation, centre, focal lengths and principal point of a camera."""
        path = self.camera_path
        tables = get_key(path, record, captures, capture, "the capture")
        row = []
        for name, shape in {"camrot": (3, 3), "campos": (3,), "focal": (2,), "princpt": (2,)}.items():
            table = get_key(path, record, tables, name)
            row.append(get_array(path, record, table, camera, shape, f"an entry in {name!r} for the camera"))
            if not np.isfinite(row[-1]).all():
                raise fault(path, record, f"finite numbers in {name!r} for the camera {camera!r}", row[-1].tolist())
        return camera, int(capture), *row

    def _frame(self, captures: Any, record: object, capture: str, frame: str) -> tuple:
        """Return the world coordinates of a frame, (42, 3) in mm; keys that we do not know are ignored."""
        frames = get_key(self.joint_path, record, captures, capture, "the capture")
        entry = get_key(self.joint_path, record, frames, frame, "the frame")
        world = get_array(self.joint_path, record, entry, "world_coord", (TWO_HANDS.num_joints, 3))
        return (world.astype(np.float32),)

    def read(self, number: int) -> tuple:
        """Return the entries of one annotation in the order of `RECORD_COLUMNS`."""
        path, annotation = self.data_path, self.annotations[number]
        record = get_integer(path, f"(annotation number {number})", annotation, "id")
        image_id = get_integer(path, record, annotation, "image_id")
        image = self.images.get(image_id)
        if image is None:
            raise fault(path, record, f"an image with the id {image_id}", "none in 'images'")
        hand_type = get_key(path, record, annotation, "hand_type")
        if str(hand_type) not in HAND_TYPES:
            raise fault(path, record, f"a 'hand_type' among {list(HAND_TYPES)}", repr(hand_type))
        capture = str(get_integer(path, record, image, "capture"))
        camera = str(get_key(path, record, image, "camera"))
        frame_idx = get_integer(path, record, image, "frame_idx")
        return (
            record,
            image_id,
            str(get_key(path, record, image, "file_name")).encode(),
            get_array(path, record, annotation, "bbox", (4,)),
            get_array(path, record, annotation, "joint_valid", (TWO_HANDS.num_joints,)) > 0,
            HAND_TYPES[hand_type],
            get_integer(path, record, annotation, "hand_type_valid") > 0,
            get_integer(path, record, image, "subject"),
            frame_idx,
            self.sequences.row_of(record, str(get_key(path, record, image, "seq_name"))),
            self.frames.row_of(record, capture, str(frame_idx)),
            self.cameras.row_of(record, capture, camera),
        )


def _shrink(record: dict) -> dict:
    """Turn the 42 nested lists of an annotation (3 kB) into an array (0.3 kB) as soon as it has been read."""
    if isinstance(record.get("joint_valid"), list):
        with contextlib.suppress(TypeError, ValueError):  # a ragged list is reported with its record, by get_array
            record["joint_valid"] = np.array(record["joint_valid"], dtype=np.float32)
    return record


def parse_interhand26m(data_file: str | Path, camera_file: str | Path, joint_file: str | Path,
                       faults: Faults | None = None) -> AnnotationColumns:
    """Read the three annotation files of a split, one record for every annotation, in the file's order.

    Records without any valid joint, and records with joints but without a valid root, are left out and counted.

    Args:
        data_file: `InterHand2.6M_<split>_data.json`.
        camera_file: `InterHand2.6M_<split>_camera.json`.
        joint_file: `InterHand2.6M_<split>_joint_3d.json`.
        faults: What happens to faulty records; an error by default.

    Raises:
        ValueError: A file is cut short, or a record is faulty: a key, image, capture, frame or camera is missing, a
            shape is wrong, the hand type is unknown, a box has no area, or a valid joint is not finite.
    """
    records = _Records(Path(data_file), Path(camera_file), Path(joint_file))
    count = len(records.annotations)
    columns: dict[str, NDArray] = {name: np.zeros((count, *shape), dtype)
                                   for name, (shape, dtype) in RECORD_COLUMNS.items()}
    for number in range(count):
        for column, value in zip(columns.values(), records.read(number), strict=True):
            column[number] = value
    columns["file_name"] = columns["file_name"].astype(np.bytes_)
    skipped = _drop(columns, np.any(columns["joint_valid"], axis=1), "no valid joint")
    columns["joint_valid"] &= columns["joint_valid"][:, list(TWO_HANDS.root_of_joint)]
    skipped |= _drop(columns, np.any(columns["joint_valid"], axis=1), "root invalid")
    columns |= {
        "sequence_name": records.sequences.column(0, dtype=np.bytes_),
        "world_mm": records.frames.column(0, TWO_HANDS.num_joints, 3, dtype=np.float32),
        "camera_name": records.cameras.column(0, dtype=np.bytes_),
        "capture": records.cameras.column(1, dtype=np.int32),
        "rotation": records.cameras.column(2, 3, 3),
        "centre_mm": records.cameras.column(3, 3),
        "focal_px": records.cameras.column(4, 2),
        "principal_point_px": records.cameras.column(5, 2),
    }
    _check_values(columns, records)
    return AnnotationColumns(columns, skipped)


def _drop(columns: dict[str, NDArray], mask: NDArray[np.bool_], reason: str) -> dict[str, int]:
    """Keep only the records in `mask` (N,), and return the count of the others."""
    for name in RECORD_COLUMNS:
        columns[name] = columns[name][mask]
    return {reason: int((~mask).sum())}


def joints_in_camera(columns: Mapping[str, NDArray], row: int) -> NDArray[np.floating]:
    """Return the joints of a record in camera space, (42, 3) in mm."""
    camera = columns["camera"][row]
    return world_to_camera(columns["world_mm"][columns["frame"][row]], columns["rotation"][camera],
                           columns["centre_mm"][camera])


def _check_values(columns: dict[str, NDArray], records: _Records) -> None:
    """Refuse boxes without area and valid joints that are not finite."""
    check_boxes(records.data_path, columns["annotation_id"], columns["bbox_xywh"])
    not_finite = ~np.all(np.isfinite(columns["world_mm"]), axis=2)  # (F, 42)
    for row, joint in np.argwhere(columns["joint_valid"] & not_finite[columns["frame"]])[:1]:
        raise fault(records.joint_path, columns["annotation_id"][row],
                    f"finite 'world_coord' for the valid joint {TWO_HANDS.names[joint]}",
                    columns["world_mm"][columns["frame"][row], joint].tolist())


def parse_rootnet(path: str | Path, faults: Faults | None = None) -> AnnotationColumns:
    """Read a file of RootNet's results.

    Columns, sorted by `annotation_id` (M,): `bbox_xywh` (M, 4) float32, px, without RootNet's enlargement, and
    `abs_depth_mm` (M, 2) float32, [right, left].

    Raises:
        ValueError: The file is cut short, or a result is faulty.
    """
    path, faults = Path(path), faults or Faults()
    results = read_json(path)
    if not isinstance(results, list):
        raise fault(path, "-", "a list of results", f"a {type(results).__name__}")
    rows = []
    for number, result in enumerate(results):
        try:
            record = get_integer(path, f"(number {number})", result, "annot_id")
            box = get_array(path, record, result, "bbox", (4,))
            depth = get_array(path, record, result, "abs_depth", (2,))
            check_boxes(path, np.array([record]), box[None])
            rows.append((record, box, depth))
        except ValueError as error:
            faults.add(error)
    rows.sort(key=lambda row: row[0])
    boxes = np.array([box for _, box, _ in rows]).reshape(-1, 4)
    centre, size = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] / ROOTNET_ENLARGEMENT
    columns: dict[str, NDArray] = {
               "annotation_id": np.array([record for record, _, _ in rows], dtype=np.int64),
               "bbox_xywh": np.concatenate([centre - size / 2, size], axis=1).astype(np.float32),
               "abs_depth_mm": np.array([depth for _, _, depth in rows], dtype=np.float32).reshape(-1, 2)}
    return AnnotationColumns(columns, faults.skipped)
