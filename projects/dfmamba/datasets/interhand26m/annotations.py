"""The annotation files of InterHand2.6M v1.0 (5 and 30 frames per second, all splits), read into arrays.

Needs no images. Facts: the data set's own README and the loader of InterNet. A joint is valid where the
annotation says so and the wrist of its hand is valid too. Joints that are not annotated hold [1, 1, 1].
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import (
    ONE_HAND_HINT,
    Fact,
    Hands,
    box_fact,
    camera_facts,
    check_typical_reach,
    first_of_each,
    get_two_hands,
    image_size_fact,
    keep_sound,
    pose_facts,
    side_fact,
)
from dfmamba.geometry import world_to_camera
from dfmamba.io.files import MAX_NAME_LENGTH, check_relative_path, get_array, get_key
from dfmamba.io.json_records import RecordDecoder, decode_entry, read_json_as
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import NUM_HAND_JOINTS, TWO_HANDS

PARSER_VERSION = 3  # another number makes old indices useless
HAND_TYPES = {"right": (True, False), "left": (False, True), "interacting": (True, True)}  # (right, left)
CHUNK = 50_000  # records that are Python objects at a time

Columns = dict[str, NDArray[Any]]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_LENGTH, pattern=r"^[^\0]*$")]  # without NUL


class _Data(msgspec.Struct):
    """`..._data.json`."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]


class _Image(msgspec.Struct, gc=False):
    id: Int64
    file_name: str
    capture: Count
    subject: Count
    seq_name: Name
    camera: Name | int
    frame_idx: Count
    width: Count = 0  # px, of the image; not every copy has them
    height: Count = 0


class _Annotation(msgspec.Struct, gc=False):
    id: Int64
    image_id: Int64
    bbox: tuple[float, float, float, float]
    joint_valid: msgspec.Raw
    hand_type: Literal["right", "left", "interacting"]
    hand_type_valid: int | bool


class _Names:
    """Numbers for names, in the order of their first mention."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number_of(self, name: str) -> int:
        """Return the number of a name."""
        return self.numbers.setdefault(name, len(self.numbers))


@np.errstate(over="ignore")  # numbers beyond float32 become infinite, which the facts find
def parse_interhand26m(
    data_file: str | Path,
    camera_file: str | Path,
    joint_file: str | Path,
    record_errors: RecordErrorPolicy | None = None,
    *,
    keep_unannotated: bool = False,
) -> AnnotationColumns:
    """Read the three annotation files of a split, one record for every annotation, in the file's order.

    Records without any valid joint, and records with joints but without a valid root, are left out and counted, unless
    they are asked for.

    Args:
        data_file: `InterHand2.6M_<split>_data.json`.
        camera_file: `InterHand2.6M_<split>_camera.json`.
        joint_file: `InterHand2.6M_<split>_joint_3d.json`.
        record_errors: What happens to faulty records; an error by default.
        keep_unannotated: Keep the records without any valid joint or root, with no valid joint, as the official loader
            does: the handedness accuracy counts them. Those without a usable box are left out and counted.

    Raises:
        ValueError: A file is cut short; a record is faulty: a key, image, capture, frame or camera is missing, an id
            comes twice, a shape is wrong, the hand type is unknown or names a hand without valid joints, a file name
            leads out of the folder, or the joints, camera, box or image size are no hand's (see
            `dfmamba.datasets.validation`); or the hands of the whole set are too small or too large.
    """
    record_errors = record_errors or RecordErrorPolicy()
    data_path, camera_path, joint_path = Path(data_file), Path(camera_file), Path(joint_file)
    data = read_json_as(data_path, _Data)
    sequences, cameras = _Names(), _Names()
    images = _read_images(data_path, data.images, sequences, cameras, record_errors)
    columns = _read_annotations(data_path, data.annotations, record_errors)
    del data
    skipped: Counter[str] = Counter()
    if not keep_unannotated:
        columns = _drop(columns, np.any(columns["joint_valid"], axis=1), skipped, "no valid joint")
    columns["joint_valid"] = columns["joint_valid"] & columns["joint_valid"][:, list(TWO_HANDS.root_of_joint)]
    if not keep_unannotated:
        columns = _drop(columns, np.any(columns["joint_valid"], axis=1), skipped, "root invalid")
    columns = _join_images(data_path, columns, images, record_errors)
    columns, side_tables = _join_cameras(camera_path, columns, list(cameras.numbers), record_errors)
    columns, side_tables["world_mm"] = _join_frames(joint_path, columns, record_errors)
    hands = Hands(
        lambda rows: joints_in_camera(columns | side_tables, rows), columns["joint_valid"], TWO_HANDS, TWO_HANDS.roots
    )
    annotated = np.any(columns["joint_valid"], axis=1)
    box = box_fact(data_path, columns["bbox_xywh"])
    facts = [
        replace(box, holds=box.holds | annotated, reason="no valid joint, and no box"),
        *_facts(data_path, camera_path, columns, side_tables),
        *(replace(fact, holds=fact.holds | ~annotated) for fact in hands.facts(joint_path, "world_coord", "mm")),
    ]
    sound = keep_sound(columns["annotation_id"], facts, record_errors, skipped)
    check_typical_reach(joint_path, hands.typical_reach_mm(sound), "mm")
    columns = _keep(columns, sound)
    del columns["capture"]  # that of the camera's row
    side_tables["sequence_name"] = _bytes(list(sequences.numbers))
    return AnnotationColumns(columns | side_tables, dict(skipped) | record_errors.skipped)


def _facts(data_path: Path, camera_path: Path, columns: Columns, side_tables: Columns) -> list[Fact]:
    """Return what should be true of the records beside their joints."""

    def name_of(row: int) -> str:
        return f"for the camera {side_tables['camera_name'][row].decode()!r}"

    cameras = [
        *pose_facts(camera_path, side_tables["rotation"], side_tables["center_mm"], name_of),
        *camera_facts(camera_path, side_tables["focal_px"], side_tables["principal_point_px"], name_of),
    ]
    side = side_fact(data_path, columns["hand_type"], columns["joint_valid"])
    return [
        replace(side, holds=side.holds | ~np.any(columns["joint_valid"], axis=1)),
        box_fact(data_path, columns["bbox_xywh"]),
        image_size_fact(data_path, columns["image_size"]),
        *(fact.of_rows(columns["camera"]) for fact in cameras),
    ]


def _decode(
    path: Path,
    what: str,
    type_: type,
    raws: Sequence[msgspec.Raw],
    record_errors: RecordErrorPolicy,
    check: Callable[[Any], Any],
) -> Iterator[list[Any]]:
    """Yield lists of `CHUNK` objects; `check` gives what is kept of an object, or raises a ValueError."""
    decoder = RecordDecoder(path, what, msgspec.json.Decoder(type_, strict=False))
    chunk = []
    for number, raw in enumerate(tqdm(raws, desc=path.name, delay=3, disable=None, leave=False)):
        try:
            chunk.append(check(decoder.decode(number, raw)))
        except ValueError as error:
            record_errors.add(error)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _read_images(
    path: Path, raws: Sequence[msgspec.Raw], sequences: _Names, cameras: _Names, record_errors: RecordErrorPolicy
) -> Columns:
    """Read the images."""

    def check(image: _Image) -> _Image:
        image.file_name = check_relative_path(path, f"{image.id} of the images", image.file_name)
        return image

    chunks: list[Columns] = [
        {
            "image_id": np.array([image.id for image in images], dtype=np.int64),
            "file_name": _bytes([image.file_name for image in images]),
            "subject": np.array([image.subject for image in images], dtype=np.int32),
            "frame_idx": np.array([image.frame_idx for image in images], dtype=np.int32),
            "sequence": np.array([sequences.number_of(image.seq_name) for image in images], dtype=np.int32),
            "capture": np.array([image.capture for image in images], dtype=np.int32),
            "camera": np.array([cameras.number_of(str(image.camera)) for image in images], dtype=np.int32),
            "image_size": np.array([(image.width, image.height) for image in images], dtype=np.int32).reshape(-1, 2),
        }
        for images in _decode(path, "an image", _Image, raws, record_errors, check)
    ]
    return _keep_first(path, _concatenate(chunks), "image_id", record_errors)


def _read_annotations(path: Path, raws: Sequence[msgspec.Raw], record_errors: RecordErrorPolicy) -> Columns:
    """Read the annotations, in their order."""
    read_flags = lru_cache(maxsize=2**14)(_read_flags)  # few different texts make up most records

    def check(annotation: _Annotation) -> tuple[_Annotation, bytes]:
        try:
            return annotation, read_flags(bytes(annotation.joint_valid))
        except (TypeError, ValueError) as error:
            raise record_error(
                path, annotation.id, f"{TWO_HANDS.num_joints} numbers for 'joint_valid'", f"an error: {error}"
            ) from error

    chunks: list[Columns] = [
        {
            "annotation_id": np.array([annotation.id for annotation, _ in chunk], dtype=np.int64),
            "image_id": np.array([annotation.image_id for annotation, _ in chunk], dtype=np.int64),
            "bbox_xywh": np.array([annotation.bbox for annotation, _ in chunk], dtype=np.float32).reshape(-1, 4),
            "joint_valid": np.frombuffer(b"".join(flags for _, flags in chunk), np.bool_).reshape(
                -1, TWO_HANDS.num_joints
            ),
            "hand_type": np.array([HAND_TYPES[annotation.hand_type] for annotation, _ in chunk], np.bool_).reshape(
                -1, 2
            ),
            "hand_type_valid": np.array([annotation.hand_type_valid > 0 for annotation, _ in chunk], dtype=np.bool_),
        }
        for chunk in _decode(path, "an annotation", _Annotation, raws, record_errors, check)
    ]
    return _keep_first(path, _concatenate(chunks), "annotation_id", record_errors)


def _read_flags(text: bytes) -> bytes:
    """Return 42 bools as bytes, of a list of numbers or of lists of one number."""
    flags = np.asarray(msgspec.json.decode(text), dtype=np.float64).squeeze()
    if flags.shape == (NUM_HAND_JOINTS,):
        raise ValueError(f"{NUM_HAND_JOINTS} numbers. {ONE_HAND_HINT}")
    if flags.shape != (TWO_HANDS.num_joints,) or not np.isfinite(flags).all():
        raise ValueError(f"shape {flags.shape}, {np.isfinite(flags).sum()} finite numbers")
    return (flags > 0).tobytes()


def _bytes(names: list[str]) -> NDArray[np.bytes_]:
    return np.array([name.encode() for name in names], dtype=np.bytes_)


def _concatenate(chunks: list[Columns]) -> Columns:
    """Join the columns of chunks, of which there is at least one."""
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _keep(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    return columns if mask.all() else {name: column[mask] for name, column in columns.items()}


def _drop(columns: Columns, good: NDArray[np.bool_], skipped: Counter[str], reason: str) -> Columns:
    """Keep only the good records (N,), and count the others."""
    skipped[reason] = int((~good).sum())
    return _keep(columns, good)


def _drop_faulty(
    columns: Columns, good: NDArray[np.bool_], record_errors: RecordErrorPolicy, describe: Callable[[int], ValueError]
) -> Columns:
    """Keep only the good records (N,); the others are record_errors, which `describe` names by row."""
    for row in np.flatnonzero(~good).tolist():
        record_errors.add(describe(row))
    return _keep(columns, good)


def _keep_first(path: Path, columns: Columns, key: str, record_errors: RecordErrorPolicy) -> Columns:
    """Keep only the first record of each id."""
    ids = columns[key]
    return _keep(columns, keep_sound(ids, [first_of_each(path, key, ids)], record_errors, Counter()))


def _join_images(path: Path, columns: Columns, images: Columns, record_errors: RecordErrorPolicy) -> Columns:
    """Add the columns of the images to the annotations."""
    order = np.argsort(images["image_id"])
    known, wanted = images["image_id"][order], columns["image_id"]
    place = np.searchsorted(known, wanted)
    found = np.zeros(len(wanted), dtype=np.bool_)
    inside = place < len(known)
    found[inside] = known[place[inside]] == wanted[inside]
    columns = _drop_faulty(
        columns,
        found,
        record_errors,
        lambda row: record_error(
            path, columns["annotation_id"][row], f"an image with the id {wanted[row]}", "none in 'images'"
        ),
    )
    return columns | {name: column[order[place[found]]] for name, column in images.items()}


def _join_side_table(
    columns: Columns,
    second: NDArray[np.integer],
    read_row: Callable[[int, int, int], tuple[Any, ...]],
    record_errors: RecordErrorPolicy,
) -> tuple[Columns, NDArray[np.int32], list[tuple[Any, ...]]]:
    """Make one row of a side table for each pair of `capture` and `second` (N,).

    Args:
        columns: The records.
        second: The other part of the key, not negative.
        read_row: Makes the row of a record's id, a capture and the other part; or raises a ValueError, which drops all
            records of this pair.
        record_errors: What happens to these.

    Returns:
        The columns of the records that are left, their rows in the side table, and the side table.
    """
    keys, first, key_of = np.unique(
        (columns["capture"].astype(np.int64) << 32) + second, return_index=True, return_inverse=True
    )
    rows: list[tuple[Any, ...]] = []
    errors: dict[int, ValueError] = {}
    row_of_key = np.full(len(keys), -1, dtype=np.int32)
    for number, (key, record) in enumerate(zip(keys.tolist(), columns["annotation_id"][first], strict=True)):
        try:
            rows.append(read_row(record, key >> 32, key & 0xFFFFFFFF))
            row_of_key[number] = len(rows) - 1
        except ValueError as error:
            errors[number] = error
    row = row_of_key[key_of]
    return _drop_faulty(columns, row >= 0, record_errors, lambda at: errors[key_of[at]]), row[row >= 0], rows


def _join_cameras(
    path: Path, columns: Columns, names: list[str], record_errors: RecordErrorPolicy
) -> tuple[Columns, Columns]:
    """Turn `camera` into the row of a side table, which is the second value."""
    captures = read_json_as(path, dict[str, Any])

    def read_row(record: int, capture: int, number: int) -> tuple[Any, ...]:
        tables = get_key(path, record, captures, str(capture), "the capture")
        row = []
        for name, shape in {"camrot": (3, 3), "campos": (3,), "focal": (2,), "princpt": (2,)}.items():
            table = get_key(path, record, tables, name)
            row.append(get_array(path, record, table, names[number], shape, f"an entry in {name!r} for the camera"))
        return names[number].encode(), capture, *row

    columns, row, rows = _join_side_table(columns, columns["camera"], read_row, record_errors)
    name, capture, rotation, center, focal, principal_point = zip(*rows, strict=True) if rows else ((),) * 6
    return columns | {"camera": row}, {
        "camera_name": np.array(name, dtype=np.bytes_),
        "capture": np.array(capture, dtype=np.int32),
        "rotation": np.array(rotation, dtype=np.float64).reshape(-1, 3, 3),
        "center_mm": np.array(center, dtype=np.float64).reshape(-1, 3),
        "focal_px": np.array(focal, dtype=np.float64).reshape(-1, 2),
        "principal_point_px": np.array(principal_point, dtype=np.float64).reshape(-1, 2),
    }


def _join_frames(path: Path, columns: Columns, record_errors: RecordErrorPolicy) -> tuple[Columns, NDArray[np.float32]]:
    """Add the column `frame`; the second value is the world coordinates (frames, 42, 3) that it refers to, in mm."""
    captures = read_json_as(path, dict[str, dict[str, msgspec.Raw]])

    def read_row(record: int, capture: int, frame: int) -> tuple[NDArray[np.float32]]:
        text = get_key(
            path, record, get_key(path, record, captures, str(capture), "the capture"), str(frame), "the frame"
        )
        entry = decode_entry(path, record, text, f"a frame {frame}")
        return (get_two_hands(path, record, entry, "world_coord", 3).astype(np.float32),)

    columns, row, rows = _join_side_table(columns, columns["frame_idx"], read_row, record_errors)
    world_mm = np.array([world for (world,) in rows], dtype=np.float32).reshape(-1, TWO_HANDS.num_joints, 3)
    return columns | {"frame": row}, world_mm


def joints_in_camera(columns: Mapping[str, NDArray[Any]], rows: int | slice) -> NDArray[np.floating]:
    """Return the joints of records in camera space, (42, 3) in mm for a row, or (n, 42, 3) for a slice of rows."""
    camera = columns["camera"][rows]
    return world_to_camera(
        columns["world_mm"][columns["frame"][rows]],
        columns["rotation"][camera],
        columns["center_mm"][camera][..., None, :],
    )
