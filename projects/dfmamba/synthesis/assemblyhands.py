"""Write synthetic hands that put toys together in the layout of AssemblyHands v1.1, ego views: images and JSON files.

Sources of the layout: the official toolkit and the data set's page (facts only). A person at a table wears a headset
with four monochrome cameras; it moves from frame to frame. What differs from the real set, besides that no person is
real:

- Sequences are a few unrelated moments, not motions; their names have the official codes and say that they are
  synthetic. Three cameras of a frame are kept, among those that see a hand; the real set only drops images without one.
- The cameras' places on the headset and their focal length are made up; no image is smaller than the others.
- A hand has a box if at least 10 of its joints are in the image: 1.2 times the tight box of all its joints, cut at the
  image's border. How the real boxes are made is not published. `joint_valid` of an image is that of the frame for hands
  with a box, and 0 for the others.
- In `test`, as in the official files, all coordinates are withheld: [1, 1, 1], key points 0. Use `val` for figures.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dfmamba.geometry import Array, project, tight_box, world_to_camera, xywh_to_xyxy
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT, SIDES, TWO_HANDS, WRIST, hand_slice
from dfmamba.synthesis.assemblyhands_headset import (
    CODES,
    NEAREST_MM,
    SIZE,
    make_mounts,
    sample_headset,
    sequence_name,
    world_to_camera_matrix,
)
from dfmamba.synthesis.contact import sample_pose
from dfmamba.synthesis.grasp import Grasp, sample_grasp
from dfmamba.synthesis.interhand26m import skeleton_text
from dfmamba.synthesis.objects import TOYS, ObjectLook, PlacedObject, sample_object_look
from dfmamba.synthesis.output import SPLITS, STAGE, Layout, begin_set, finish_set, generator_for, work
from dfmamba.synthesis.person import ArmHabit, sample_clothes
from dfmamba.synthesis.poses import FAMILIES
from dfmamba.synthesis.scene import Camera, Scene, Subject, make_subject, render_rgb
from dfmamba.synthesis.shading import Lighting, sample_lighting
from dfmamba.synthesis.table import Table, draw_table
from dfmamba.synthesis.workplace import Reach, make_table, sample_scene, scatter

LAYOUT = Layout("assemblyhands", "AssemblyHands v1.1, ego views", SPLITS, ("images", "annotations"), generation=1)
CALIBRATION_SUFFIX = "_mono10bit"  # of a camera's name in the calibration and in paths
REACH = Reach(
    ArmHabit(np.array([[0.35, 0.8, -0.4], [0.25, 0.25, 0.3]]), np.array([[-0.3, 0.0, -0.8], [0.3, 0.3, 0.3]]), 110.0),
    np.array([0.0, 225.0, -370.0]),
    190.0,
)
LYING_MM, LYING_RADII_MM = np.array([0.0, 0.0, -520.0]), (0.0, 230.0)
HANDS = ((RIGHT, LEFT), (RIGHT, LEFT), (RIGHT,), (RIGHT, LEFT), (LEFT,))  # of frames 0, 1, 2, 3, 4, and so on
VIEWS_PER_FRAME, FRAMES_PER_SEQUENCE, MIN_SEQUENCES = 3, 12, 2
FIRST_FRAME, FRAME_STEP, FRAMES_PER_S = 520, 2, 60.0
FIRST_ID = {"train": 0, "val": 1_000_000, "test": 2_000_000}
MIN_INSIDE = 10  # joints in the image, for a box
BOX_ENLARGEMENT = 1.2
UNSET = 1.0  # each coordinate of a joint that is not annotated
JPEG_QUALITY = 92
ODD_PERIOD = 16  # of these frames, one has a hand with too few valid joints, one an invalid wrist, one other joints
MIN_IMAGES_FOR_ODD = 24
HOLD_SHARE = 0.7  # of the hands that hold a toy
MAX_SCENES = 30


@dataclass(frozen=True)
class Frame:
    """What to draw: one moment of one sequence.

    Attributes:
        seed: Of the whole set.
        folder: Root of the set.
        split: One of `SPLITS`.
        number: Counts the frames of the split from 0.
        sequence: Position in `CODES`.
        place: Counts the frames of the sequence from 0.
        views: How many images to keep.
        odd: Whether the split has odd records.
        view_spread_deg: See `write_assemblyhands`.
    """

    seed: int
    folder: Path
    split: str
    number: int
    sequence: int
    place: int
    views: int
    odd: bool
    view_spread_deg: float | None

    @property
    def frame_idx(self) -> int:
        """The official frame number, on a grid of 60 a second of which every other one is annotated."""
        return FIRST_FRAME + FRAME_STEP * self.place

    @property
    def key(self) -> str:
        """Its name in the calibration and joint files."""
        return f"{self.frame_idx:06d}"


@dataclass(frozen=True)
class Stage:
    """What stays the same in a sequence: the toys on the table, the clothes, the lamps, the table."""

    lying: tuple[PlacedObject, ...]
    clothes: dict[str, ObjectLook]
    lighting: Lighting
    table: Table


@dataclass(frozen=True)
class FrameRecord:
    """What was drawn: the JSON pieces of one frame.

    Attributes:
        frame: What was to be drawn.
        images: Without ids.
        annotations: Without ids.
        extrinsics: 3x4 [R|t] of each camera, by its name in the calibration.
        world_coord: 42 x 3.
        joint_valid: 42 x 1.
    """

    frame: Frame
    images: list[dict]
    annotations: list[dict]
    extrinsics: dict[str, list]
    world_coord: list[list[float]]
    joint_valid: list[list[int]]


def plan_split(folder: Path, seed: int, split: str, num_images: int, view_spread_deg: float | None) -> list[Frame]:
    """Lay out the frames of one split, with `num_images` views in all."""
    num_frames = -(-num_images // VIEWS_PER_FRAME)
    sequences = min(len(CODES[split]), max(MIN_SEQUENCES, num_frames // FRAMES_PER_SEQUENCE))
    return [
        Frame(
            seed,
            folder,
            split,
            number,
            number % sequences,
            number // sequences,
            min(VIEWS_PER_FRAME, num_images - number * VIEWS_PER_FRAME),
            num_images >= MIN_IMAGES_FOR_ODD,
            view_spread_deg,
        )
        for number in range(num_frames)
    ]


@lru_cache(maxsize=4)
def _subject(seed: int, split: str, sequence: int) -> Subject:
    return make_subject(generator_for(seed, split, "subject", sequence))


@lru_cache(maxsize=16)
def _stage(seed: int, split: str, sequence: int) -> Stage:
    rng = generator_for(seed, split, "plan", sequence)
    lying = scatter([TOYS[k] for k in rng.permutation(len(TOYS))[:3]], LYING_MM, LYING_RADII_MM, rng)
    clothes = sample_clothes(_subject(seed, split, sequence).look, rng)
    return Stage(tuple(lying), clothes, sample_lighting(rng), make_table(rng))


def _draw_grasps(subject: Subject, sides: Sequence[int], rng: np.random.Generator) -> dict[int, Grasp]:
    """Draw what hands do: most hold a toy, the others are in any pose."""
    shape, grasps = subject.surface.shape, {}
    for side in sides:
        if rng.random() < HOLD_SHARE:
            toy = TOYS[int(rng.integers(len(TOYS)))]
            grasps[side] = sample_grasp(shape, toy, sample_object_look(rng), rng)
        else:
            grasps[side] = Grasp(sample_pose(shape, str(rng.choice(list(FAMILIES))), rng), None)
    return grasps


def hand_box(joints_px: Array, depth_mm: Array) -> Array | None:
    """Return the box (4,) xyxy in px of a hand, or None if it has none.

    Args:
        joints_px: (21, 2).
        depth_mm: (21,) camera z.
    """
    limit = np.array(SIZE[::-1]) - 1
    if depth_mm.min() < NEAREST_MM or ((joints_px >= 0) & (joints_px <= limit)).all(axis=1).sum() < MIN_INSIDE:
        return None
    box = xywh_to_xyxy(tight_box(joints_px, np.ones(NUM_HAND_JOINTS), BOX_ENLARGEMENT))
    return np.clip(box, 0, np.tile(limit, 2))


def _boxes(scene: Scene, camera: Camera) -> dict[int, Array | None]:
    """Return the box of each hand in a camera's image."""
    joints = world_to_camera(scene.joints_mm, camera.rotation, camera.center_mm)
    pixels = project(joints, camera.focal_px, camera.principal_point_px)
    return {
        side: hand_box(pixels[hand_slice(side)], joints[hand_slice(side), 2]) if scene.present[side] else None
        for side in (RIGHT, LEFT)
    }


def _sample_views(frame: Frame, rng: np.random.Generator) -> tuple[Scene, list[Camera], list[int]]:
    """Draw scenes until enough cameras see a hand; return scene, all cameras, and the numbers of those that are kept.

    Raises:
        RuntimeError: That was not so in `MAX_SCENES` draws.
    """
    subject = _subject(frame.seed, frame.split, frame.sequence)
    stage, reach = _stage(frame.seed, frame.split, frame.sequence), REACH
    if frame.view_spread_deg is not None:
        habit = ArmHabit(reach.habit.upper_arm, reach.habit.forearm, min(frame.view_spread_deg, reach.habit.roll_deg))
        reach = Reach(habit, reach.place_mm, reach.radius_mm)
    sides = HANDS[frame.number % len(HANDS)]
    for _ in range(MAX_SCENES):
        scene = sample_scene(
            subject, lambda: _draw_grasps(subject, sides, rng), reach, stage.lying, stage.clothes, stage.lighting, rng
        )
        cameras = sample_headset(make_mounts(frame.seed, frame.split, frame.sequence), rng)
        seeing = [k for k, camera in enumerate(cameras) if any(b is not None for b in _boxes(scene, camera).values())]
        if len(seeing) >= frame.views:
            return scene, cameras, sorted(rng.choice(seeing, frame.views, replace=False).tolist())
    raise RuntimeError(f"fewer than {frame.views} cameras saw a hand in {MAX_SCENES} scenes")


def _validity(frame: Frame, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return which joints (42,) are annotated; a few records are odd on purpose."""
    valid = np.repeat(scene.present, NUM_HAND_JOINTS)
    place, side = frame.number % ODD_PERIOD, int(rng.choice(np.flatnonzero(scene.present)))
    fingers = side * NUM_HAND_JOINTS + rng.permutation(WRIST)
    if frame.odd and place == 3:
        valid[fingers[: int(rng.integers(NUM_HAND_JOINTS - MIN_INSIDE + 1, WRIST))]] = False
    elif frame.odd and place == 5:
        valid[TWO_HANDS.roots[side]] = False
    elif frame.odd and place in (1, 6):
        valid[fingers[: int(rng.integers(1, 5))]] = False
    return valid


def draw_frame(frame: Frame) -> FrameRecord:
    """Pose, render and save one frame; return its records."""
    rng = generator_for(frame.seed, frame.split, "frame", frame.number)
    scene, cameras, kept = _sample_views(frame, rng)
    valid = _validity(frame, scene, rng)
    withheld = frame.split == "test"
    table = _stage(frame.seed, frame.split, frame.sequence).table
    name = sequence_name(frame.split, frame.sequence)
    images, annotations = [], []
    for view in kept:
        camera = cameras[view]
        picture = render_rgb(
            scene,
            camera,
            generator_for(frame.seed, frame.split, "picture", frame.number, view),
            draw_table(table, camera, scene),
        )
        file_name = f"ego_images_rectified/{frame.split}/{name}/{camera.name}{CALIBRATION_SUFFIX}/{frame.key}.jpg"
        path = frame.folder / "images" / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        images.append(
            {
                "file_name": file_name,
                "width": SIZE[1],
                "height": SIZE[0],
                "seq_name": name,
                "camera": camera.name,
                "frame_idx": frame.frame_idx,
                "timestamp": frame.frame_idx / FRAMES_PER_S,
            }
        )
        annotations.append(_annotate(scene, camera, valid, withheld))
    extrinsics = {camera.name + CALIBRATION_SUFFIX: world_to_camera_matrix(camera).tolist() for camera in cameras}
    shown = valid & (not withheld)
    world = np.where(shown[:, None], np.round(scene.joints_mm, 4), UNSET)
    return FrameRecord(frame, images, annotations, extrinsics, world.tolist(), valid.astype(int)[:, None].tolist())


def _annotate(scene: Scene, camera: Camera, valid: np.ndarray, withheld: bool) -> dict:
    """Return the annotation of one image, without ids."""
    boxes = _boxes(scene, camera)
    flags = valid & np.repeat([boxes[side] is not None for side in (RIGHT, LEFT)], NUM_HAND_JOINTS)
    pixels = project(
        world_to_camera(scene.joints_mm, camera.rotation, camera.center_mm), camera.focal_px, camera.principal_point_px
    )
    shown = flags & (not withheld)
    keypoints = np.where(shown[:, None], np.column_stack([pixels, np.ones(len(pixels))]), 0.0)
    return {
        "bbox": {SIDES[side]: None if box is None else box.tolist() for side, box in boxes.items()},
        "joint_valid": flags.astype(int).tolist(),
        "keypoints": keypoints.tolist(),
    }


def write_annotations(folder: Path, split: str, records: Sequence[FrameRecord]) -> None:
    """Write the three JSON files of one split."""
    images: list[dict] = []
    annotations: list[dict] = []
    calibration: dict[str, dict] = {}
    joints: dict[str, dict] = {}
    for record in records:
        frame = record.frame
        name = sequence_name(split, frame.sequence)
        for image, annotation in zip(record.images, record.annotations, strict=True):
            number = FIRST_ID[split] + len(images)
            images.append({"id": number, **image})
            annotations.append({"id": number, "image_id": number, **annotation})
        joints.setdefault(name, {})[frame.key] = {"world_coord": record.world_coord, "joint_valid": record.joint_valid}
        if name not in calibration:
            matrices = {
                mount.name + CALIBRATION_SUFFIX: [
                    [mount.focal_px[0], 0.0, mount.principal_point_px[0]],
                    [0.0, mount.focal_px[1], mount.principal_point_px[1]],
                    [0, 0, 1],
                ]
                for mount in make_mounts(frame.seed, split, frame.sequence)
            }
            calibration[name] = {"intrinsics": matrices, "extrinsics": {}}
        calibration[name]["extrinsics"][frame.key] = record.extrinsics
    target = folder / "annotations" / split
    target.mkdir(parents=True, exist_ok=True)
    contents = {
        "ego_data": {"images": images, "annotations": annotations},
        "ego_calib": {"calibration": calibration},
        "joint_3d": {"annotations": joints},
    }
    for kind, content in contents.items():
        (target / f"assemblyhands_{split}_{kind}_v1-1.json").write_text(json.dumps(content), encoding="utf-8")


def _kind(annotation: dict) -> str:
    """Return `right`, `left` or `both`: the hands of an image that have a box."""
    shown = [side for side in SIDES if annotation["bbox"][side] is not None]
    return shown[0] if len(shown) == 1 else "both"


def write_assemblyhands(
    folder: Path,
    num_images: dict[str, int],
    seed: int,
    *,
    view_spread_deg: float | None = None,
    workers: int = 1,
    overwrite: bool = False,
    on_images: Callable[[int], None] = lambda count: None,
) -> Counter[tuple[str, str]] | None:
    """Write a synthetic set; the same arguments give the same bytes, with any number of workers.

    Args:
        folder: Root of the set; made if missing.
        num_images: Images for each of `SPLITS`; a split that is missing or 0 is not written. `test` has no ground
            truth.
        seed: Not negative.
        view_spread_deg: None: forearms roll by up to 110 degrees to both sides. A smaller number makes an easier set:
            they roll by up to this angle from thumb up.
        workers: Number of processes.
        overwrite: See `output.prepare_folder`.
        on_images: Called with the number of new images, for a progress bar.

    Returns:
        Images by (split, `right`, `left` or `both`), or None if this very set was there already.

    Raises:
        ValueError: See `output.begin_set`.
        FileExistsError: See `output.prepare_folder`.
        RuntimeError: There was no room for the hands in very many draws; another seed will do.
    """
    folder = Path(folder)
    begun = begin_set(folder, LAYOUT, num_images, seed, view_spread_deg, overwrite)
    if begun is None:
        return None
    (counts, note), target, folder = begun, folder, folder / STAGE
    frames = [
        frame for split, count in counts.items() for frame in plan_split(folder, seed, split, count, view_spread_deg)
    ]
    # Sequences one after the other: a process then has to make few subjects.
    frames.sort(key=lambda frame: (SPLITS.index(frame.split), frame.sequence, frame.number))
    records = work(draw_frame, frames, workers, lambda record: on_images(len(record.images)))
    for split in counts:
        write_annotations(folder, split, [record for record in records if record.frame.split == split])
    (folder / "annotations" / "skeleton.txt").write_text(skeleton_text(), encoding="utf-8")
    finish_set(target, LAYOUT, note)
    return Counter((record.frame.split, _kind(annotation)) for record in records for annotation in record.annotations)
