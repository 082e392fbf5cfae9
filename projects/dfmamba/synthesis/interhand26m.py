"""Write synthetic hands in the layout of InterHand2.6M v1.0 (5 fps): images, JSON files, skeleton.

Sources of the layout: the data set's page and loader, and the four real samples in MMPose's test data. Frames cycle
through right, interacting, left, interacting; each is seen by several cameras.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dfmamba.geometry import project, tight_box, world_to_camera
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT, TWO_HANDS
from dfmamba.synthesis.output import SPLITS, STAGE, STUDIO, Layout, begin_set, finish_set, generator_for, work
from dfmamba.synthesis.pairs import ARRANGEMENTS
from dfmamba.synthesis.poses import FAMILIES
from dfmamba.synthesis.scene import Camera, Scene, Subject, make_scene
from dfmamba.synthesis.style import STYLES

LAYOUT = Layout(
    "interhand26m", "InterHand2.6M v1.0", SPLITS, ("images", "annotations"), generation=2, styles=tuple(STYLES)
)
HAND_TYPES = ("right", "interacting", "left", "interacting")  # of frames 0, 1, 2, 3, and so on
CAMERAS_PER_CAPTURE = 8
FRAMES_PER_SEQUENCE = 2
MIN_CAPTURES = 2
FRAME_GAP = {"train": 18, "val": 6, "test": 6}  # of frame_idx, as in the 5 fps release
FIRST_SUBJECT = {"train": 0, "val": 100, "test": 200}  # no subject is in two splits
FIRST_ID = {"train": 0, "val": 4_000_000, "test": 8_000_000}
BOX_ENLARGEMENT = 1.2
INVALID_COORDINATE = 1.0  # world_coord of a joint that is not annotated
ODD_PERIOD = 32  # of these frames, one has an invalid root, two some invalid joints, one an invalid hand type
MIN_IMAGES_FOR_ODD = 16


@dataclass(frozen=True)
class Frame:
    """What to draw: one moment of one subject.

    Attributes:
        seed: Of the whole set.
        folder: Root of the set.
        split: One of `SPLITS`.
        number: Counts the frames of the split from 0.
        capture: Number of the capture.
        hand_type: `right`, `left` or `interacting`.
        motif: Pose family or, for two hands, arrangement.
        sequence: Name of the sequence.
        views: Numbers of the capture's cameras that see it.
        odd: Whether the split has odd records.
        view_spread_deg: See `write_interhand26m`.
        style: Key into `STYLES`.
    """

    seed: int
    folder: Path
    split: str
    number: int
    capture: int
    hand_type: str
    motif: str
    sequence: str
    views: tuple[int, ...]
    odd: bool
    view_spread_deg: float | None
    style: str = STUDIO

    @property
    def frame_idx(self) -> int:
        """The official frame number."""
        return 1000 + FRAME_GAP[self.split] * self.number


@dataclass(frozen=True)
class FrameRecord:
    """What was drawn: the JSON pieces of one frame."""

    frame: Frame
    images: list[dict]
    boxes: list[list[float]]
    world_coord: list[list[float]]
    joint_valid: list[list[int]]
    hand_type_valid: int


def plan_split(
    folder: Path, seed: int, split: str, num_images: int, view_spread_deg: float | None, style: str = STUDIO
) -> list[Frame]:
    """Lay out the frames of one split, with `num_images` views in all."""
    kind = STYLES[style]
    views = min(kind.views_per_frame, max(1, num_images // len(HAND_TYPES)))
    num_frames = -(-num_images // views)
    captures = min(kind.most_captures, max(MIN_CAPTURES, num_frames // kind.frames_per_capture))
    order = generator_for(seed, split, "plan")
    motifs = {False: order.permutation(list(FAMILIES)).tolist(), True: order.permutation(list(ARRANGEMENTS)).tolist()}
    so_far: Counter = Counter()  # frames by capture and hand type; sequences by "one hand or two"
    sequences: dict[tuple, tuple[str, str]] = {}
    frames = []
    for number in range(num_frames):
        hand_type = HAND_TYPES[number % len(HAND_TYPES)]
        capture = (number + number // len(HAND_TYPES)) % captures
        key = (capture, hand_type, so_far[capture, hand_type] // FRAMES_PER_SEQUENCE)
        so_far[capture, hand_type] += 1
        two = hand_type == "interacting"
        if key not in sequences:
            motif = motifs[two][so_far[two] % len(motifs[two])]
            so_far[two] += 1
            sequences[key] = (f"{len(sequences):04d}_synthetic_{'dh_' if two else ''}{motif}", motif)
        sequence, motif = sequences[key]
        count = min(views, num_images - number * views)
        cameras = tuple(sorted((number + 3 * view) % CAMERAS_PER_CAPTURE for view in range(count)))
        frames.append(
            Frame(
                seed,
                folder,
                split,
                number,
                capture,
                hand_type,
                motif,
                sequence,
                cameras,
                num_images >= MIN_IMAGES_FOR_ODD,
                view_spread_deg,
                style,
            )
        )
    return frames


@lru_cache(maxsize=8)
def _subject(seed: int, split: str, capture: int, style: str) -> Subject:
    return STYLES[style].make_subject(generator_for(seed, split, "subject", capture))


@lru_cache(maxsize=64)
def _cameras(seed: int, split: str, capture: int, view_spread_deg: float | None, style: str) -> list[Camera]:
    """Return a capture's cameras around the hands: formats take turns, three of eight may be monochrome."""
    rng = generator_for(seed, split, "cameras", capture)
    cameras = []
    for k in range(CAMERAS_PER_CAPTURE):
        grey = k % 8 in (2, 5, 7)
        if view_spread_deg is None:
            azimuth = 360 / CAMERAS_PER_CAPTURE * k + rng.uniform(-15, 15)
        else:
            azimuth = view_spread_deg * rng.uniform(-1, 1)
        name = f"{41 if grey else 40}{2 * k + capture % 2:04d}"
        cameras.append(STYLES[style].make_camera(name, azimuth, k % 2 == 0, grey, rng))
    return cameras


def view_of(frame: Frame, number: int) -> Camera:
    """Return the camera of one of a frame's views, from 0."""
    rig = _cameras(frame.seed, frame.split, frame.capture, frame.view_spread_deg, frame.style)
    return rig[frame.views[number]]


def _validity(frame: Frame, scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return which joints (42,) are annotated, and whether the hand type is; a few records are odd on purpose."""
    valid = np.repeat(scene.present, NUM_HAND_JOINTS)
    place = frame.number % ODD_PERIOD
    if not frame.odd:
        return valid, 1
    if place == 1:  # two hands: the root of one
        valid[TWO_HANDS.roots[(RIGHT, LEFT)[frame.number // ODD_PERIOD % 2]]] = False
    elif place in (3, 12):  # two hands, one hand: some joints, never a root
        candidates = [j for j in np.flatnonzero(valid) if j not in TWO_HANDS.roots]
        valid[rng.choice(candidates, size=int(rng.integers(1, 5)), replace=False)] = False
    return valid, int(place != 2)


def draw_frame(frame: Frame) -> FrameRecord:
    """Pose, render and save one frame; return its records."""
    rng = generator_for(frame.seed, frame.split, "frame", frame.number)
    two, style = frame.hand_type == "interacting", STYLES[frame.style]
    scene = make_scene(
        _subject(frame.seed, frame.split, frame.capture, frame.style),
        None if two else frame.motif,
        frame.motif if two else None,
        LEFT if frame.hand_type == "left" else RIGHT,
        rng,
        frame.view_spread_deg,
        style.sample_setting,
        style.holding,
    )
    valid, hand_type_valid = _validity(frame, scene, rng)
    world = np.where(valid[:, None], np.round(scene.joints_mm, 4), INVALID_COORDINATE)
    images, boxes = [], []
    for number, view in enumerate(frame.views):
        camera = view_of(frame, number)
        of_picture = generator_for(frame.seed, frame.split, "picture", frame.number, view)
        picture = style.take_picture(scene, camera, of_picture)
        quality = int(of_picture.integers(*style.jpeg_quality, endpoint=True))
        name = f"Capture{frame.capture}/{frame.sequence}/cam{camera.name}/image{frame.frame_idx}.jpg"
        path = frame.folder / "images" / frame.split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
        images.append(
            {
                "file_name": name,
                "width": camera.size[1],
                "height": camera.size[0],
                "capture": frame.capture,
                "subject": FIRST_SUBJECT[frame.split] + frame.capture,
                "seq_name": frame.sequence,
                "camera": camera.name,
                "frame_idx": frame.frame_idx,
            }
        )
        points = world_to_camera(world, camera.rotation, camera.center_mm)
        pixels = project(points, camera.focal_px, camera.principal_point_px)
        boxes.append(tight_box(pixels, valid, BOX_ENLARGEMENT).tolist())
    return FrameRecord(frame, images, boxes, world.tolist(), valid.astype(int)[:, None].tolist(), hand_type_valid)


def write_annotations(folder: Path, seed: int, split: str, records: Sequence[FrameRecord]) -> None:
    """Write the three JSON files of one split."""
    images: list[dict] = []
    annotations: list[dict] = []
    joints: dict[str, dict] = {}
    cameras: dict[str, dict] = {}
    for record in records:
        frame, capture = record.frame, str(record.frame.capture)
        for image, box in zip(record.images, record.boxes, strict=True):
            number = FIRST_ID[split] + len(images)
            images.append({"id": number, **image})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "bbox": box,
                    "joint_valid": record.joint_valid,
                    "hand_type": frame.hand_type,
                    "hand_type_valid": record.hand_type_valid,
                }
            )
        joints.setdefault(capture, {})[str(frame.frame_idx)] = {
            "world_coord": record.world_coord,
            "joint_valid": record.joint_valid,
            "hand_type": frame.hand_type,
            "hand_type_valid": bool(record.hand_type_valid),
            "seq": frame.sequence,
        }
        if capture not in cameras:
            rig = _cameras(seed, split, frame.capture, frame.view_spread_deg, frame.style)
            cameras[capture] = {
                "campos": {camera.name: camera.center_mm.tolist() for camera in rig},
                "camrot": {camera.name: camera.rotation.tolist() for camera in rig},
                "focal": {camera.name: camera.focal_px.tolist() for camera in rig},
                "princpt": {camera.name: camera.principal_point_px.tolist() for camera in rig},
            }
    target = folder / "annotations" / split
    target.mkdir(parents=True, exist_ok=True)
    contents = {"data": {"images": images, "annotations": annotations}, "camera": cameras, "joint_3d": joints}
    for kind, content in contents.items():
        (target / f"InterHand2.6M_{split}_{kind}.json").write_text(json.dumps(content), encoding="utf-8")


def skeleton_text() -> str:
    """Return the content of `skeleton.txt`; the official parser wants no empty line at the end."""
    lines = ["# joint_name joint_id joint_parent_id"]
    for joint, (name, parent) in enumerate(zip(TWO_HANDS.names, TWO_HANDS.parents, strict=True)):
        side, joint_name = name.split("_")
        lines.append(f"{side[0]}_{joint_name} {joint} {parent}")
    return "\n".join(lines)


def write_text_files(folder: Path, frames: Sequence[Frame]) -> None:
    """Write `skeleton.txt` and `subject.txt`."""
    (folder / "annotations" / "skeleton.txt").write_text(skeleton_text(), encoding="utf-8")
    captures = sorted({(SPLITS.index(frame.split), frame.capture) for frame in frames})
    subjects = ["# synthetic: subject_id split capture (the official columns are not known to us)"]
    subjects += [
        f"{FIRST_SUBJECT[SPLITS[split]] + capture} {SPLITS[split]} Capture{capture}" for split, capture in captures
    ]
    (folder / "annotations" / "subject.txt").write_text("\n".join(subjects), encoding="utf-8")


def write_interhand26m(
    folder: Path,
    num_images: dict[str, int],
    seed: int,
    *,
    view_spread_deg: float | None = None,
    style: str = STUDIO,
    workers: int = 1,
    overwrite: bool = False,
    on_images: Callable[[int], None] = lambda count: None,
) -> Counter[tuple[str, str]] | None:
    """Write a synthetic set; the same arguments give the same bytes, with any number of workers.

    Args:
        folder: Root of the set; made if missing.
        num_images: Images for each of `SPLITS`; a split that is missing or 0 is not written.
        seed: Not negative.
        view_spread_deg: None: cameras stand all around, and hands turn every way. A number makes an easier set: cameras
            stand within this angle to both sides of the front, and hands turn away from it with this deviation.
        style: Key into `style.STYLES`.
        workers: Number of processes.
        overwrite: See `output.prepare_folder`.
        on_images: Called with the number of new images, for a progress bar.

    Returns:
        Images by (split, hand type), or None if this very set was there already.

    Raises:
        ValueError: See `output.begin_set`.
        FileExistsError: See `output.prepare_folder`.
    """
    folder = Path(folder)
    begun = begin_set(folder, LAYOUT, num_images, seed, view_spread_deg, overwrite, style)
    if begun is None:
        return None
    (counts, note), target, folder = begun, folder, folder / STAGE
    frames = [
        frame
        for split, count in counts.items()
        for frame in plan_split(folder, seed, split, count, view_spread_deg, style)
    ]
    # Captures one after the other: a process then has to make few subjects.
    frames.sort(key=lambda frame: (SPLITS.index(frame.split), frame.capture, frame.number))
    records = work(draw_frame, frames, workers, lambda record: on_images(len(record.images)))
    records.sort(key=lambda record: record.frame.number)
    for split in counts:
        write_annotations(folder, seed, split, [r for r in records if r.frame.split == split])
    write_text_files(folder, frames)
    finish_set(target, LAYOUT, note)
    return Counter((r.frame.split, r.frame.hand_type) for r in records for _ in r.images)
