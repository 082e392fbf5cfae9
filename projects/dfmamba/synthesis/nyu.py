"""Write synthetic hands in the layout of the NYU hand pose data set (Tompson et al., ACM TOG 2014).

For each split the pictures of three cameras and `joint_data.mat`; also the files that the community adds for camera 1:
centers (A2J's .mat, V2V-PoseNet's .txt) and A2J's true 14 joints. Sources of the layout: the authors' saving script,
the public code of A2J, V2V-PoseNet and awesome-hand-pose-estimation, and A2J's centers of the real test split, whose
spread in the image and in depth the hands here follow.

As in the real set, all hands are right, train shows one person, and test shows that person, then another. What differs:
the person is made of capsules before a bare wall, every frame is a new pose, colour is seen by the depth cameras
themselves before a made-up background, and `synthdepth` is the true depth of the hand with its forearm. Of the 36
points, the middles of bones and PALM_1 to PALM_6 are our guess; the authors place theirs in a hand model that is not
public. `test_predictions.mat` is not written.
"""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from dfmamba.geometry import NYU_FOCAL, NYU_PRINCIPAL_POINT, Array, back_project, look_at, project, world_to_camera
from dfmamba.skeleton import FINGERS, HAND_JOINTS, NUM_HAND_JOINTS, NYU_14_OF_36, NYU_36_NAMES, RIGHT, SIDES, hand_slice
from dfmamba.synthesis.depth_sensor import KINECT, NO_READING, sense_depth
from dfmamba.synthesis.output import SPLITS, STAGE, Layout, begin_set, finish_set, generator_for, work
from dfmamba.synthesis.person import RAISED_ARM, sample_person
from dfmamba.synthesis.scene import (
    NONE,
    Camera,
    Scene,
    Subject,
    compose_scene,
    make_subject,
    render_buffers,
    render_rgb,
)
from dfmamba.synthesis.shading import sample_lighting

SPLITS_HERE = ("train", "test")
LAYOUT = Layout(
    "nyu",
    "the NYU hand pose data set (Tompson et al. 2014)",
    SPLITS_HERE,
    (
        *SPLITS_HERE,
        *(
            name.format(split)
            for split in SPLITS_HERE
            for name in ("nyu_center_{}.mat", "nyu_keypointsUVD_{}.mat", "center_{}_refined.txt")
        ),
    ),
    generation=1,
)
SIZE = (480, 640)  # height and width of the images
FIRST_PERSON_SHARE = 2440 / 8252  # of the real test split
# Center of the hand in camera 1, u px, v px, depth mm: rounded mean, deviation, least and greatest of A2J's centers.
CENTER = np.array([[283.0, 278.0, 896.0], [60.0, 39.0, 112.0], [161.0, 154.0, 617.0], [435.0, 389.0, 1105.0]])
RIG_FOCUS_MM = np.array([0.0, 0.0, 900.0])  # where the side cameras look, in the frame of camera 1
WALL_MM = (1900.0, 2800.0)
CENTER_ERROR_MM, ASTRAY_MM = 4.0, 70.0  # published centers are a network's
INVALID = "invalid"
ODD_PERIOD = 32  # of these frames, one has a hand cut by the border, one a center far off, one none (in the .txt)
MIN_IMAGES_FOR_ODD = 6
CUT_PLACE, ASTRAY_PLACE, INVALID_PLACE = 2, 3, 4
CUT_CENTERS = ((18.0, 270.0), (622.0, 270.0), (300.0, 465.0), (300.0, 15.0))  # u and v in camera 1

# Where the six points of a finger lie, KNU3_A to KNU1_B: 4 is the tip, 1 the knuckle, 0 the wrist. The tip, KNU3_B,
# KNU2_B and KNU1_B (KNU1_A of the thumb) as in AWR's map of NYU's points to joints.
FINGER_CODES = dict(zip(FINGERS, ("TH", "F4", "F3", "F2", "F1"), strict=True))
FINGER_PLACES, THUMB_PLACES = (4, 3, 2.5, 2, 1.5, 1), (4, 3, 2.5, 2, 1, 0.5)
PALM_POINTS = (  # weights of joints
    {"wrist": 1.0, "ring1": 0.45, "index1": -0.45},
    {"wrist": 1.0, "ring1": -0.45, "index1": 0.45},  # the wrist's sides
    {"wrist": 0.5, "middle1": 0.5},
    {"wrist": 0.5, "index1": 0.5},
    {"wrist": 0.5, "pinky1": 0.5},
    {"wrist": 0.2, "middle1": 0.8},
)


@dataclass(frozen=True)
class Frame:
    """What to draw: one moment, seen by all cameras.

    Attributes:
        seed: Of the whole set.
        folder: Root of the set.
        split: `train` or `test`.
        number: Counts the frames of the split from 0.
        person: 0 or 1.
        odd: Whether the split has odd records.
        view_spread_deg: See `write_nyu`.
    """

    seed: int
    folder: Path
    split: str
    number: int
    person: int
    odd: bool
    view_spread_deg: float | None

    def is_odd(self, place: int) -> bool:
        """Whether this is the frame at a place of `ODD_PERIOD`, in a split with odd records."""
        return self.odd and self.number % ODD_PERIOD == place


@dataclass(frozen=True)
class FrameRecord:
    """What was drawn.

    Attributes:
        frame: What to draw.
        points_mm: (3, 36, 3) NYU's points in the frame of each camera, y down.
        center_mm: (3,) the hand's center in the frame of camera 1, y down, as a network would find it.
        has_center: Whether it does.
    """

    frame: Frame
    points_mm: Array
    center_mm: Array
    has_center: bool


def _weights() -> Array:
    """Return the weights (36, 21) of the canonical joints in NYU's points."""
    weights = np.zeros((len(NYU_36_NAMES), NUM_HAND_JOINTS))
    for finger, code in FINGER_CODES.items():
        first = NYU_36_NAMES.index(f"{code}_KNU3_A")
        for row, place in enumerate(THUMB_PLACES if finger == "thumb" else FINGER_PLACES, start=first):
            for joint, share in ((int(place), 1 - place % 1), (int(place) + 1, place % 1)):
                if share:
                    weights[row, HAND_JOINTS.index(f"{finger}{joint}" if joint else "wrist")] = share
    for row, point in enumerate(PALM_POINTS, start=NYU_36_NAMES.index("PALM_1")):
        for name, share in point.items():
            weights[row, HAND_JOINTS.index(name)] = share
    return weights


WEIGHTS = _weights()


def nyu_points(joints_mm: Array) -> Array:
    """Return NYU's 36 points (36, 3) of a hand given by its joints (21, 3) in canonical order, in the same frame."""
    return WEIGHTS @ joints_mm


def y_up(points_mm: Array) -> Array:
    """Turn points (..., 3) with y down into NYU's `joint_xyz`, whose y points up."""
    return points_mm * np.array([1.0, -1.0, 1.0])


def uvd(points_mm: Array) -> Array:
    """Turn points (..., 3) with y down into NYU's `joint_uvd`: px, px, mm."""
    return np.concatenate([project(points_mm, NYU_FOCAL, NYU_PRINCIPAL_POINT), points_mm[..., 2:]], axis=-1)


def encode_depth(depth_mm: np.ndarray) -> np.ndarray:
    """Return a depth image (H, W, 3) uint8, BGR: G is the high byte, B the low byte of depth (H, W) uint16 in mm."""
    return np.stack([depth_mm & 255, depth_mm >> 8, np.zeros_like(depth_mm)], axis=-1).astype(np.uint8)


@lru_cache(maxsize=2)
def _subject(seed: int, person: int) -> Subject:
    return make_subject(generator_for(seed, SPLITS_HERE[person], "subject", 0))


@lru_cache(maxsize=2)
def _rig(seed: int) -> list[Camera]:
    """Return the cameras in the frame of camera 1, the frontal one; they stay all the time."""
    rng = generator_for(seed, "train", "cameras")
    poses: list[tuple[Array, Array]] = [(np.zeros(3), np.eye(3))]
    for side in (-1.0, 1.0):
        azimuth, elevation = np.radians(side * rng.uniform(30, 50)), np.radians(rng.uniform(-5, 20))
        away = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])
        center = RIG_FOCUS_MM + rng.uniform(850, 950) * away
        poses.append((center, look_at(center, RIG_FOCUS_MM, rng.normal(0, 4))))
    tint = rng.uniform([0.85, 0.85, 0.75], 1.0)
    return [
        Camera(str(number), center, rotation, np.array(NYU_FOCAL), np.array(NYU_PRINCIPAL_POINT), SIZE, False, tint)
        for number, (center, rotation) in enumerate(poses, start=1)
    ]


def _sample_center(frame: Frame, rng: np.random.Generator) -> Array:
    """Draw where the hand's center is in the frame of camera 1 (3,), y down."""
    mean, deviation, low, high = CENTER
    u, v, depth = np.clip(rng.normal(mean, deviation), low, high)
    if frame.is_odd(CUT_PLACE):
        u, v = CUT_CENTERS[frame.number // ODD_PERIOD % len(CUT_CENTERS)]
    return back_project([u, v], depth, NYU_FOCAL, NYU_PRINCIPAL_POINT)


def wall_depth(camera: Camera, point_mm: Array, normal: Array) -> Array:
    """Return the camera depth (H, W) in mm of an endless wall through a point, infinity where it is not in sight."""
    height, width = camera.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    rays = back_project(pixels, np.ones(camera.size), camera.focal_px, camera.principal_point_px) @ camera.rotation
    falling = rays @ normal
    towards = (point_mm - camera.center_mm) @ normal
    return np.divide(towards, falling, out=np.full(camera.size, np.inf), where=falling * towards > 0)


def draw_frame(frame: Frame) -> FrameRecord:
    """Pose, render and save one frame as all cameras see it; return its records."""
    rng = generator_for(frame.seed, frame.split, "frame", frame.number)
    subject, spread = _subject(frame.seed, frame.person), frame.view_spread_deg
    habit = RAISED_ARM if spread is None else replace(RAISED_ARM, roll_deg=min(spread, RAISED_ARM.roll_deg))
    person = sample_person(subject, (RIGHT,), habit, rng)
    scene = compose_scene(subject, person.hands, sample_lighting(rng), person.body)
    points = nyu_points(scene.joints_mm[hand_slice(RIGHT)])
    center = _sample_center(frame, rng)
    shift = points[list(NYU_14_OF_36)].mean(axis=0) - center  # from the frame of camera 1 to the person's
    cameras = [replace(camera, center_mm=camera.center_mm + shift) for camera in _rig(frame.seed)]
    turn = np.radians(rng.normal(0, 12))
    wall = shift + np.array([0.0, 0.0, rng.uniform(*WALL_MM)]), np.array([np.sin(turn), 0.0, np.cos(turn)])
    for camera in cameras:
        _save_images(frame, scene, camera, wall)
    error = rng.normal(0, 1, 3)
    error *= ASTRAY_MM / np.linalg.norm(error) if frame.is_odd(ASTRAY_PLACE) else CENTER_ERROR_MM
    in_cameras = [world_to_camera(points, camera.rotation, camera.center_mm) for camera in cameras]
    return FrameRecord(frame, np.stack(in_cameras), center + error, not frame.is_odd(INVALID_PLACE))


def _save_images(frame: Frame, scene: Scene, camera: Camera, wall: tuple[Array, Array]) -> None:
    """Write what one camera takes of a frame."""
    number = int(camera.name)
    sensor, picture = (
        generator_for(frame.seed, frame.split, purpose, frame.number, number) for purpose in ("sensor", "picture")
    )
    true_depth = np.minimum(render_buffers(scene, camera).depth_mm, wall_depth(camera, *wall))
    hand = render_buffers(replace(scene, faces=scene.faces[scene.face_hand != NONE]), camera)
    hand_depth = np.where(hand.covered, np.rint(hand.depth_mm), NO_READING).astype(np.uint16)
    images = {
        "depth": encode_depth(sense_depth(true_depth, NYU_FOCAL[0], KINECT, sensor)),
        "synthdepth": encode_depth(hand_depth),
        "rgb": render_rgb(scene, camera, picture),
    }
    for kind, image in images.items():
        path = frame.folder / frame.split / image_name(kind, number, frame.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def image_name(kind: str, camera: int, number: int) -> str:
    """Return the name of an image of `kind` depth, synthdepth or rgb; in the names, frames count from 1.

    >>> image_name("depth", 1, 0)
    'depth_1_0000001.png'
    """
    return f"{kind}_{camera}_{number + 1:07d}.png"


def write_mat(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a MATLAB file with a head that does not tell the time, as scipy's does."""
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=True)
    head = b"MATLAB 5.0 MAT-file, SYNTHETIC data written by dfmamba"
    path.write_bytes(head.ljust(116) + buffer.getvalue()[116:])  # 116 bytes of text, then 12 that matter


def write_annotations(folder: Path, split: str, records: Sequence[FrameRecord]) -> None:
    """Write `joint_data.mat` of one split and the community's files."""
    points = np.stack([record.points_mm for record in records], axis=1)  # (3, N, 36, 3)
    names = np.array([NYU_36_NAMES], dtype=object)  # a cell of 1 x 36
    write_mat(
        folder / split / "joint_data.mat", {"joint_names": names, "joint_uvd": uvd(points), "joint_xyz": y_up(points)}
    )
    centers = np.stack([record.center_mm for record in records])
    write_mat(folder / f"nyu_center_{split}.mat", {"centre_pixel": uvd(centers)[:, None]})
    write_mat(folder / f"nyu_keypointsUVD_{split}.mat", {"keypoints3D": uvd(points[0])[:, list(NYU_14_OF_36)]})
    lines = [
        " ".join(f"{value:.6f}" for value in y_up(record.center_mm)) if record.has_center else INVALID
        for record in records
    ]
    (folder / f"center_{split}_refined.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_nyu(
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
        folder: Root of the set, the official `dataset`; made if missing.
        num_images: Frames for `train` and `test`. A frame counts once, though each of three cameras takes a depth, a
            colour and a rendered image.
        seed: Not negative.
        view_spread_deg: None: forearms turn about their length as far as they can. A number makes an easier set: they
            turn by at most this angle in degrees.
        workers: Number of processes.
        overwrite: See `output.prepare_folder`.
        on_images: Called with the number of new frames, for a progress bar.

    Returns:
        Frames by split and hand, which is always `right`, or None if this very set was there already.

    Raises:
        ValueError: See `output.begin_set`.
        FileExistsError: See `output.prepare_folder`.
    """
    folder = Path(folder)
    begun = begin_set(folder, LAYOUT, num_images, seed, view_spread_deg, overwrite)
    if begun is None:
        return None
    (counts, note), target, folder = begun, folder, folder / STAGE
    frames = [
        Frame(
            seed,
            folder,
            split,
            number,
            int(split == "test" and number >= FIRST_PERSON_SHARE * count),
            count >= MIN_IMAGES_FOR_ODD,
            view_spread_deg,
        )
        for split, count in counts.items()
        for number in range(count)
    ]
    frames.sort(key=lambda frame: (SPLITS.index(frame.split), frame.number))
    records = work(draw_frame, frames, workers, lambda record: on_images(1))
    for split in counts:
        write_annotations(folder, split, [record for record in records if record.frame.split == split])
    finish_set(target, LAYOUT, note)
    return Counter((record.frame.split, SIDES[RIGHT]) for record in records)
