"""The hands of one's own JSON file in columns; `dfmamba.datasets.own_data.json_file` has the form of the file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.own_data.json_file import Hand, Image, read_entries
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import (
    REACH_MM,
    TYPICAL_REACH_MM,
    Fact,
    Hands,
    box_fact,
    camera_facts,
    check_typical_reach,
    describe_factor,
    image_size_fact,
    in_float32,
    keep_sound,
)
from dfmamba.geometry import project, tight_box, xywh_to_xyxy, xyxy_to_xywh
from dfmamba.skeleton import NUM_HAND_JOINTS, ONE_HAND, WRIST

PARSER_VERSION = 1  # another number makes old indices useless
BOX_ENLARGEMENT = 1.2  # of the tight box of the valid joints, where the file has no box
BOX_EXPECTED = "a 'box_xyxy' (here x, y, w, h), or two valid joints, with an area"
MIN_HAND_PX = 2.0  # a smaller hand is one in parts of the image's width and height
DEPTH_EXTENT_MM = (2.0, 2000.0)  # of the median hand; flat hands have 20 mm, so only a mistake between m and mm shows

COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {  # name: shape of an entry, type
    "image": ((), np.int32),
    "hand_id": ((), np.int64),
    "side": ((), np.int8),
    "joint_valid": ((NUM_HAND_JOINTS,), np.bool_),
    "points_px": ((NUM_HAND_JOINTS, 2), np.float32),
    "joints_cam_mm": ((NUM_HAND_JOINTS, 3), np.float32),
    "depth_mm": ((NUM_HAND_JOINTS,), np.float32),
    "file_points_px": ((NUM_HAND_JOINTS, 2), np.float32),
    "space_known": ((), np.bool_),
    "depth_known": ((), np.bool_),
    "box_xyxy": ((4,), np.float32),
}
Columns = dict[str, NDArray[Any]]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # of faulty records, which the facts find
def parse_own_data(ann_file: str | Path, record_errors: RecordErrorPolicy | None = None) -> AnnotationColumns:
    """Read a file, one record for each hand.

    The columns, N hands in the order of the file, joints in canonical order:
        image               row of the image in the side tables below
        hand_id             number of the hand in the file, from 0
        side                `RIGHT` or `LEFT`
        joint_valid         (21,)
        points_px           (21, 2) in the image: the file's, or the projection of `joints_cam_mm`
        joints_cam_mm       (21, 3), 0 where `space_known` is false
        depth_mm            (21,) relative to the wrist, 0 where `depth_known` is false
        file_points_px      (21, 2), NaN where the file has none
        space_known         the place in space is known: a camera, joints in its frame, and a valid wrist
        depth_known         the depths relative to the wrist are known
        box_xyxy            (4,) px, the file's, or 1.2 times the tight box of the valid joints

    Side tables, one row for each image that has a hand: `file_name`, `image_size` (2,), `focal_px` and
    `principal_point_px` (2,), 0 where the file does not say it.

    Args:
        ann_file: The file.
        record_errors: What happens to faulty images and hands; an error by default.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file as a whole, an image or a hand is faulty; or the hands of the whole file are too small or
            too large. (Images without a hand, and hands without a valid joint, are left out and counted.)
    """
    path, record_errors = Path(ann_file), record_errors or RecordErrorPolicy()
    images, entries = read_entries(path, record_errors)
    skipped: Counter[str] = Counter({"no hand in the image": len(images) - len({image for image, *_ in entries})})
    there = [entry for entry in enumerate(entries) if entry[1][2].valid.any()]
    skipped["no valid joint"] = len(entries) - len(there)
    rows = [_make_row(number, image, images[image], hand) for number, (image, _, hand) in there]
    columns: Columns = {
        name: np.array([row[name] for row in rows], dtype=np.float64 if type_ is np.float32 else type_).reshape(
            len(rows), *shape
        )
        for name, (shape, type_) in COLUMNS.items()
    }
    tables = _image_tables(images)
    sound = _keep_sound(path, [place for _, (_, place, _) in there], columns, tables, record_errors, skipped)
    kept: Columns = {name: column[sound].astype(COLUMNS[name][1]) for name, column in columns.items()}
    return AnnotationColumns(kept | tables, dict(skipped) | record_errors.skipped)


def _make_row(number: int, image_row: int, image: Image, hand: Hand) -> dict[str, Any]:
    """Return the columns of a hand."""
    has_wrist, in_space = bool(hand.valid[WRIST]), bool(np.isfinite(hand.joints_cam_mm).all())
    projected = project(hand.joints_cam_mm, image.focal_px, image.principal_point_px) if in_space else hand.points_px
    points = hand.points_px if np.isfinite(hand.points_px).all() else projected
    depth = hand.joints_cam_mm[:, 2] - hand.joints_cam_mm[WRIST, 2] if in_space else hand.depth_mm
    box: NDArray[np.floating] = hand.box_xyxy
    if np.isnan(box).all():
        box = xywh_to_xyxy(tight_box(projected, hand.valid, BOX_ENLARGEMENT))
    space_known, depth_known = in_space and has_wrist, bool(np.isfinite(depth).all()) and has_wrist
    return {
        "image": image_row,
        "hand_id": number,
        "side": hand.side,
        "joint_valid": hand.valid,
        "points_px": projected if space_known else points,
        "joints_cam_mm": hand.joints_cam_mm if space_known else np.zeros_like(hand.joints_cam_mm),
        "depth_mm": depth if depth_known else np.zeros_like(depth),
        "file_points_px": hand.points_px,
        "space_known": space_known,
        "depth_known": depth_known,
        "box_xyxy": box,
    }


def _image_tables(images: Sequence[Image]) -> Columns:
    """Return the side tables."""
    count = len(images)
    return {
        "file_name": np.array([image.name.encode() for image in images], dtype=np.bytes_),
        "image_size": np.clip([image.size for image in images], -1, 2**31 - 1).astype(np.int32).reshape(count, 2),
        "focal_px": np.array([image.focal_px for image in images], dtype=np.float32).reshape(count, 2),
        "principal_point_px": np.array([image.principal_point_px for image in images], np.float32).reshape(count, 2),
    }


def _keep_sound(
    path: Path,
    places: Sequence[str],
    columns: Columns,
    tables: Columns,
    record_errors: RecordErrorPolicy,
    skipped: Counter[str],
) -> NDArray[np.bool_]:
    """Return which hands (N,) are sound."""
    space_known, valid = columns["space_known"], columns["joint_valid"]
    hands = Hands(lambda rows: columns["joints_cam_mm"][rows], valid & space_known[:, None], ONE_HAND, ONE_HAND.roots)
    has_camera = tables["focal_px"].any(axis=1)
    cameras = [
        Fact(fact.path, fact.expected, fact.holds | ~has_camera, fact.got).of_rows(columns["image"])
        for fact in camera_facts(path, tables["focal_px"], tables["principal_point_px"])
    ]
    sizes = image_size_fact(path, tables["image_size"]).of_rows(columns["image"])
    facts = [
        *cameras,
        sizes,
        *hands.facts(path, "keypoints_cam", "the file's unit"),
        _points_fact(path, columns),
        box_fact(path, xyxy_to_xywh(columns["box_xyxy"]), BOX_EXPECTED),
        _depth_fact(path, columns),
    ]
    sound = keep_sound(list(places), facts, record_errors, skipped)
    check_typical_reach(path, hands.typical_reach_mm(sound & space_known), "the file's unit")
    _check_typical_depth(path, columns, sound)
    return sound


def _extent(values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the largest difference (N, ...) of the valid ones of values (N, 21, ...)."""
    mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
    low, high = np.where(mask, values, np.inf).min(axis=1), np.where(mask, values, -np.inf).max(axis=1)
    extent: NDArray[np.floating] = high - low
    return extent


def _points_fact(path: Path, columns: Columns) -> Fact:
    """Return whether the points in the image are px."""
    size = _extent(in_float32(columns["points_px"]), columns["joint_valid"]).max(axis=1)
    return Fact(
        path,
        f"valid joints of a hand that is {MIN_HAND_PX:g} px wide or high, or more, in the image",
        (size >= MIN_HAND_PX) | (columns["joint_valid"].sum(axis=1) < 2),
        lambda row: f"one of {size[row]:.3g} px. Are they parts of the image's width and height, as of MediaPipe?",
    )


def _depth_fact(path: Path, columns: Columns) -> Fact:
    """Return whether the depths are those of one hand."""
    extent = np.where(columns["depth_known"], _extent(columns["depth_mm"], columns["joint_valid"]), 0)
    return Fact(
        path,
        f"depths in the file's unit, within {REACH_MM[1]:g} mm of each other",
        extent <= REACH_MM[1],
        lambda row: f"{extent[row]:.4g} mm, {describe_factor(float(extent[row]), TYPICAL_REACH_MM)}",
    )


def _check_typical_depth(path: Path, columns: Columns, sound: NDArray[np.bool_]) -> None:
    """Refuse a file whose depths without a place in space are in the median those of no hands.

    Raises:
        ValueError: They are.
    """
    rows = sound & columns["depth_known"] & ~columns["space_known"]
    if not rows.any():
        return
    low, high = DEPTH_EXTENT_MM
    median = float(np.median(_extent(columns["depth_mm"][rows], columns["joint_valid"][rows])))
    if not low <= median <= high:
        meaning = "metres where mm belong" if median < low else "mm taken for metres"
        raise ValueError(
            f"{path}: expected depths in the file's unit, of hands that are {low:g} to {high:g} mm deep, got "
            f"{median:.3g} mm in the median of {rows.sum()} hands: {meaning}?"
        )
