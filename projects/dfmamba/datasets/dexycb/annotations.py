"""The annotations of DexYCB, read into arrays: YAML files for recordings and cameras, one label file for each image.

Needs no images. Facts: the data set's toolkit. Joints are in metres, in the camera's frame, the wrist
first and each finger from its base to its tip; -1 everywhere stands for an image without a visible hand.
"""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.dexycb.calibration import intrinsics_file, read_intrinsics
from dfmamba.datasets.dexycb.recordings import Recording, Selection, count_empty, read_recordings
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import Hands, Skip, box_fact, check_typical_reach, in_float32, keep_sound
from dfmamba.geometry import metres_to_mm, tight_box
from dfmamba.io.files import get_array, get_key, read_npz
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import FROM_DEXYCB, NUM_HAND_JOINTS, ONE_HAND

PARSER_VERSION = 2  # another number makes old indices useless
IMAGE_SIZE = (640, 480)  # width, height in px
BOXES = ("joints", "segmentation")
BOX_ENLARGEMENT = 1.2  # ours, of the tight box of the joints: as in InterHand2.6M and RHD
HAND_CLASS = 255  # in `seg`
EMPTY_RECORDING = "recording without files"  # a reason to skip, counted by recordings, not by records
NO_HAND = -1  # all of joint_3d and joint_2d, in metres and pixels
MIN_VIEWS_FOR_WORKERS = 256  # for fewer, starting processes takes longer than reading


class View(NamedTuple):
    """One recording seen by one camera: what a worker process reads.

    Attributes:
        folder: Where the label files are.
        num_frames: How many there should be.
        box: One of `BOXES`.
    """

    folder: Path
    num_frames: int
    box: str


class Labels(NamedTuple):
    """What the label files of a view say about the n frames with a hand.

    Attributes:
        frame_idx: (n,) numbers of the frames.
        joints_mm: (n, 21, 3) in camera space and canonical order.
        boxes_xywh: (n, 4) px.
        skipped: Frames left out, by reason.
        errors: Of faulty frames.
    """

    frame_idx: list[int]
    joints_mm: list[NDArray[np.float32]]
    boxes_xywh: list[NDArray[np.float32]]
    skipped: Counter[str]
    errors: list[Exception]


class Rows(NamedTuple):
    """The columns of n rows, see `parse_dexycb`."""

    image_id: NDArray[np.int64]
    sequence: NDArray[np.int32]
    camera: NDArray[np.int32]
    frame_idx: NDArray[np.int32]
    joints_cam_mm: NDArray[np.float32]
    bbox_xywh: NDArray[np.float32]


def tip_first_wrist_last(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    """Turn DexYCB's joints (21, ...), the wrist first and fingers from the base, into canonical order."""
    return joints[list(FROM_DEXYCB)]


def has_hand(joints: NDArray[np.floating]) -> bool:
    """Return whether joints, as they are in the label file, are joints: -1 everywhere stands for no hand."""
    return not (joints == NO_HAND).all()


def box_of_hand_pixels(segmentation: NDArray[np.integer]) -> NDArray[np.floating] | None:
    """Return the box (x, y, w, h) in px of the pixels of the hand in a mask of classes (H, W); None without any."""
    rows, columns = np.nonzero(segmentation == HAND_CLASS)
    if len(rows) == 0:
        return None
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
    return np.concatenate([low, high - low]).astype(np.float64)


def label_name(frame: int) -> str:
    """Return the name of the label file of a frame.

    >>> label_name(7)
    'labels_000007.npz'
    """
    return f"labels_{frame:06d}.npz"


def camera_major_ids(first_image_id: int, camera: int, num_frames: int, frames: Sequence[int]) -> NDArray[np.int64]:
    """Return the toolkit's image ids of some frames of a view: all frames of camera 0, then all of camera 1, ..."""
    return first_image_id + camera * num_frames + np.asarray(frames, dtype=np.int64)


def parse_dexycb(
    root: str | Path,
    selection: Selection,
    box: str = "joints",
    record_errors: RecordErrorPolicy | None = None,
    workers: int = 1,
) -> AnnotationColumns:
    """Read the label files of a part of the set, one record for each image with a hand, in the order of image ids.

    The columns of the N records: `image_id` (the toolkit's index, which counts images without a hand too; it is the id
    in result files), `sequence` and `camera` (rows of the side tables), `frame_idx`, `joints_cam_mm` (N, 21, 3) in
    canonical order, `bbox_xywh` (N, 4) px. The side tables: `sequence_name`, `sequence_side`, `sequence_subject` and
    `sequence_number` (see `Recording`); `serial`, `focal_px` (C, 2) and `principal_point_px` (C, 2).

    Args:
        root: The folder of the set.
        selection: Which part.
        box: 'joints': 1.2 times the tight box of `joint_2d`; it may leave the image. 'segmentation': the tight box of
            the hand's pixels in `seg`, as in the toolkit's COCO files; images without any are left out.
        record_errors: What happens to faulty label files; they raise by default. A faulty `meta.yml` or intrinsics file
            always raises: without a recording's number of frames the image ids after it would be wrong.
        workers: Number of processes that read label files.

    Raises:
        FileNotFoundError: A subject, `meta.yml`, intrinsics file or label file does not exist.
        ValueError: `box` or `workers` is not usable; a subject has another number of recordings; a recording has
            another number of label files than frames, an unknown hand side, or lacks a camera; a file is cut short or
            holds objects; a shape is wrong; joints or box are no hand's (see `dfmamba.datasets.validation`); or the
            hands of the whole set are too small or too large.
    """
    root, record_errors = Path(root), record_errors or RecordErrorPolicy()
    if box not in BOXES:
        raise ValueError(f"box: expected one of {BOXES}, got {box!r}")
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    cameras = [read_intrinsics(intrinsics_file(root, serial)) for serial in selection.serials]
    recordings = read_recordings(root, selection)
    views = [
        View(root / recording.name / serial, recording.num_frames, box)
        for recording in recordings
        for serial in selection.serials
    ]
    rows: list[Rows] = []
    reach_mm: list[NDArray[np.float32]] = []
    skipped: Counter[str] = Counter()
    for number, labels in enumerate(_read_views(views, workers)):
        sequence, camera = divmod(number, len(selection.serials))
        for error in labels.errors:
            record_errors.add(error)
        skipped += labels.skipped
        part = _rows_of(labels, recordings[sequence], sequence, camera)
        sound, reach = _check(views[number].folder, part, record_errors, skipped)
        rows.append(Rows._make(column[sound] for column in part))
        reach_mm.append(reach)
    check_typical_reach(root, np.concatenate(reach_mm), "m")
    columns = {name: np.concatenate([getattr(part, name) for part in rows]) for name in Rows._fields}
    if empty := count_empty(recordings, selection):
        skipped[EMPTY_RECORDING] = empty
    return AnnotationColumns(
        columns | _side_tables(recordings, selection, cameras), dict(skipped) | record_errors.skipped
    )


def _rows_of(labels: Labels, recording: Recording, sequence: int, camera: int) -> Rows:
    """Return the rows of a view."""
    count = len(labels.frame_idx)
    return Rows(
        image_id=camera_major_ids(recording.first_image_id, camera, recording.num_frames, labels.frame_idx),
        sequence=np.full(count, sequence, dtype=np.int32),
        camera=np.full(count, camera, dtype=np.int32),
        frame_idx=np.array(labels.frame_idx, dtype=np.int32),
        joints_cam_mm=np.array(labels.joints_mm, dtype=np.float32).reshape(count, NUM_HAND_JOINTS, 3),
        bbox_xywh=np.array(labels.boxes_xywh, dtype=np.float32).reshape(count, 4),
    )


def _check(
    folder: Path, rows: Rows, record_errors: RecordErrorPolicy, skipped: Counter[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which rows (n,) of a view are sound, and the reach of their hands in mm."""

    def path_of(row: int) -> Path:
        return folder / label_name(int(rows.frame_idx[row]))

    joints = rows.joints_cam_mm
    hands = Hands(lambda part: joints[part], np.ones(joints.shape[:2], dtype=bool), ONE_HAND, ONE_HAND.roots)
    facts = [*hands.facts(path_of, "joint_3d", "m"), box_fact(path_of, rows.bbox_xywh)]
    sound = keep_sound(rows.frame_idx, facts, record_errors, skipped)
    return sound, hands.typical_reach_mm(sound)


def _side_tables(
    recordings: Sequence[Recording],
    selection: Selection,
    cameras: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, NDArray[Any]]:
    """Return the columns about recordings and cameras."""
    return {
        "sequence_name": np.array([recording.name.encode() for recording in recordings], dtype=np.bytes_),
        "sequence_side": np.array([recording.side for recording in recordings], dtype=np.int8),
        "sequence_subject": np.array([recording.subject for recording in recordings], dtype=np.int32),
        "sequence_number": np.array([recording.number for recording in recordings], dtype=np.int32),
        "serial": np.array([serial.encode() for serial in selection.serials], dtype=np.bytes_),
        "focal_px": np.array([focal for focal, _ in cameras], dtype=np.float32),
        "principal_point_px": np.array([point for _, point in cameras], dtype=np.float32),
    }


def _read_views(views: Sequence[View], workers: int) -> Iterator[Labels]:
    """Read all views in order, on several processes if there are many."""
    show = {"total": len(views), "desc": "reading DexYCB's label files", "unit": "view", "delay": 2, "disable": None}
    if workers == 1 or len(views) < MIN_VIEWS_FOR_WORKERS:
        yield from tqdm(map(read_view, views), **show)
        return
    # Not a `multiprocessing.Pool`: it waits for ever when a process dies, of too little memory for example.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            yield from tqdm(pool.map(read_view, views, chunksize=8), **show)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_view(view: View) -> Labels:
    """Read the label files of one view; see `parse_dexycb`. Errors are returned, not raised."""
    labels = Labels([], [], [], Counter(), [])
    there = {path.name for path in view.folder.glob("labels_*.npz")}
    if len(there) > view.num_frames:
        labels.errors.append(
            record_error(
                view.folder.parent / "meta.yml",
                "-",
                f"'num_frames' label files in {view.folder.name}, which are {view.num_frames}",
                len(there),
            )
        )
    for frame in range(view.num_frames):
        name = label_name(frame)
        try:
            if name not in there:
                raise FileNotFoundError(
                    f"no such file: {view.folder / name} (the labels of frame {frame}; meta.yml "
                    f"speaks of {view.num_frames} frames, {len(there)} have labels)"
                )
            joints_mm, box_xywh = _read_label(view.folder / name, frame, view.box)
        except Skip as reason:
            labels.skipped[str(reason)] += 1
        except (ValueError, OSError) as error:
            labels.errors.append(error)
        else:
            labels.frame_idx.append(frame)
            labels.joints_mm.append(in_float32(joints_mm))
            labels.boxes_xywh.append(in_float32(box_xywh))
    return labels


def _read_label(path: Path, frame: int, box: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return joints (21, 3) in mm, in canonical order, and the box (x, y, w, h) in px of one image."""
    arrays = read_npz(path, ("joint_3d", "joint_2d") if box == "joints" else ("joint_3d", "seg"))
    joints_m = get_array(path, frame, arrays, "joint_3d", (1, NUM_HAND_JOINTS, 3))[0]
    if not has_hand(joints_m):
        raise Skip("no hand")
    joints_mm = metres_to_mm(tip_first_wrist_last(joints_m))
    if box == "joints":
        points = get_array(path, frame, arrays, "joint_2d", (1, NUM_HAND_JOINTS, 2))[0]
        box_xywh: NDArray[np.floating] | None = tight_box(points, np.ones(NUM_HAND_JOINTS), BOX_ENLARGEMENT)
    else:
        segmentation = get_key(path, frame, arrays, "seg")
        if segmentation.ndim != 2 or segmentation.dtype.kind not in "ui":
            raise record_error(
                path, frame, "'seg' (480, 640) of whole numbers", f"{segmentation.dtype} of shape {segmentation.shape}"
            )
        box_xywh = box_of_hand_pixels(segmentation)
    if box_xywh is None:
        raise Skip("no hand pixels")
    return joints_mm, box_xywh
