"""Write synthetic hands that hold objects in the layout of DexYCB: colour, depth, masks, joints, calibration.

Source of the layout: the data set's toolkit (facts only). A person at a table lifts one of three or four objects; eight
cameras around see every frame. What differs from the real set, besides that no person is real:

- Recordings are a few unrelated moments, not motions. In one with two frames or more, the first has no hand.
- Only some of the 1000 recordings are there; the folders of all others are empty. So positions in the sorted listing of
  a subject's folder are the official ones, and all rules that go by position hold: s0 to s3 need no change.
- `train`, `val` and `test` are those of s0. From 24 + 8 + 8 images on, every split of s0, s1, s2 and s3 has some.
- There is no MANO. `pose_m` has the axis-angle of a frame on the palm, 45 zeros and the wrist's place in metres;
  `betas` are zeros; joints are those of the synthetic hand.
- Objects are boxes and cylinders in the sizes of the YCB objects; their frame is at their middle; no `models`.
- Intrinsics and extrinsics are the same for all subjects.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array, project, world_to_camera
from dfmamba.skeleton import FROM_DEXYCB, HAND_JOINTS, NUM_HAND_JOINTS, SIDES, WRIST, hand_slice, inverse
from dfmamba.synthesis.depth_sensor import REALSENSE_D415, sense_depth
from dfmamba.synthesis.dexycb_plan import (
    RECORDINGS,
    SERIALS,
    SUBJECTS,
    TRIALS,
    Recording,
    plan_split,
    recording_name,
)
from dfmamba.synthesis.grasp import Grasp, sample_grasp
from dfmamba.synthesis.objects import YCB_OBJECTS, ObjectLook, PlacedObject
from dfmamba.synthesis.output import SPLITS, STAGE, Layout, begin_set, finish_set, generator_for, work
from dfmamba.synthesis.person import ArmHabit, sample_clothes
from dfmamba.synthesis.scene import NONE, Camera, Scene, Subject, aim, make_subject, render_buffers, render_rgb
from dfmamba.synthesis.shading import Lighting, sample_lighting
from dfmamba.synthesis.surface import PARTS
from dfmamba.synthesis.table import Table, draw_table
from dfmamba.synthesis.workplace import TABLE_CENTER_MM, Reach, make_table, sample_scene, scatter

MASTER = SERIALS[2]
LAYOUT = Layout("dexycb", "DexYCB", SPLITS, (*SUBJECTS, "calibration"), generation=1)
EXTRINSICS_NAME = "synthetic_rig"
SIZE = (480, 640)  # height, width
HAND_CLASS = 255  # in `seg`
NO_HAND = -1.0  # all of joint_3d and joint_2d
JPEG_QUALITY = 92
FRONT_DEG = 130.0  # cameras stand so far to both sides of the person's front
MM_PER_M = 1000.0
WORKSPACE_MM = np.array([0.0, 270.0, -420.0])
SCATTER_MM = (150.0, 300.0)  # about its middle, where hands need room
REACH = Reach(
    ArmHabit(
        np.array([[0.35, 0.8, -0.45], [0.25, 0.25, 0.3]]), np.array([[-0.25, 0.0, -0.85], [0.3, 0.3, 0.3]]), 110.0
    ),
    WORKSPACE_MM,
    120.0,
)
_SHARED = "train"  # of the random numbers of what is in several splits: subjects, cameras


@dataclass(frozen=True)
class Frame:
    """What to draw: one moment of a recording, seen by all cameras."""

    recording: Recording
    number: int


@dataclass(frozen=True)
class FrameRecord:
    """What was drawn.

    Attributes:
        frame: What was to be drawn.
        kinds: `right`, `left` or `no hand` for each camera.
        pose_m: (1, 51) in the master camera's frame.
        pose_y: (objects, 7) quaternion x, y, z, w and translation in metres, in the master camera's frame.
    """

    frame: Frame
    kinds: list[str]
    pose_m: Array
    pose_y: Array


@dataclass(frozen=True)
class Stage:
    """What stays the same in a recording.

    Attributes:
        objects: All objects, as they lie on the table at first.
        grasped: Position of the one that the hand takes.
        clothes: See `person.sample_clothes`.
        lighting: The lamps.
        table: The table.
    """

    objects: tuple[PlacedObject, ...]
    grasped: int
    clothes: dict[str, ObjectLook]
    lighting: Lighting
    table: Table


@lru_cache(maxsize=4)
def _subject(seed: int, subject: int) -> Subject:
    return make_subject(generator_for(seed, _SHARED, "subject", subject))


@lru_cache(maxsize=2)
def make_rig(seed: int, view_spread_deg: float | None) -> tuple[Camera, ...]:
    """Draw the eight cameras around the table, in the order of `SERIALS`; they see the person's front and sides."""
    rng = generator_for(seed, _SHARED, "cameras")
    spread = FRONT_DEG if view_spread_deg is None else view_spread_deg
    cameras = []
    for serial, place in zip(SERIALS, np.linspace(-1, 1, len(SERIALS)), strict=True):
        azimuth = np.radians(spread * place + rng.uniform(-0.05, 0.05) * spread)
        elevation = np.radians(rng.uniform(22, 48))
        away = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])
        center = WORKSPACE_MM + away * rng.uniform(820, 930)
        rotation = Rotation.from_euler("z", rng.normal(0, 3), degrees=True).as_matrix() @ aim(
            center, WORKSPACE_MM + rng.normal(0, 15, 3)
        )
        cameras.append(
            Camera(
                serial,
                center,
                rotation,
                613 + rng.normal(0, 4) + rng.normal(0, 0.6, 2),
                np.array([313.0, 245.0]) + rng.normal(0, 6, 2),
                SIZE,
                False,
                rng.uniform([0.9, 0.9, 0.82], 1.0),
            )
        )
    return tuple(cameras)


@lru_cache(maxsize=4)
def _stage(recording: Recording) -> Stage:
    """Draw what stays the same in a recording."""
    rng = generator_for(recording.seed, _SHARED, "plan", recording.subject, recording.position)
    grasped = recording.position // TRIALS
    others = [k for k in rng.permutation(len(YCB_OBJECTS)) if k != grasped][: int(rng.integers(2, 4))]
    chosen = [*others, grasped]
    order = rng.permutation(len(chosen))
    objects = scatter([YCB_OBJECTS[chosen[k]] for k in order], WORKSPACE_MM, SCATTER_MM, rng)
    clothes = sample_clothes(_subject(recording.seed, recording.subject).look, rng)
    return Stage(
        tuple(objects), int(np.flatnonzero(order == len(others))[0]), clothes, sample_lighting(rng), make_table(rng)
    )


def _draw_scene(frame: Frame, rng: np.random.Generator) -> tuple[Scene, tuple[PlacedObject, ...]]:
    """Return the scene, and the recording's objects as they are in it, the grasped one in the hand if there is one."""
    recording, stage = frame.recording, _stage(frame.recording)
    subject = _subject(recording.seed, recording.subject)
    if frame.number == 0 and recording.num_frames > 1:
        return sample_scene(subject, dict, REACH, stage.objects, stage.clothes, stage.lighting, rng), stage.objects
    taken = stage.objects[stage.grasped]
    others = [obj for obj in stage.objects if obj is not taken]

    def draw_grasps() -> dict[int, Grasp]:
        return {recording.side: sample_grasp(subject.surface.shape, taken.model, taken.look, rng)}

    scene = sample_scene(subject, draw_grasps, REACH, others, stage.clothes, stage.lighting, rng)
    objects = list(scene.objects[: len(others)])
    objects.insert(stage.grasped, scene.objects[len(others)])
    return scene, tuple(objects)


def draw_frame(frame: Frame) -> FrameRecord:
    """Pose, render and save one frame as all cameras see it."""
    recording = frame.recording
    key = (recording.subject, recording.position, frame.number)
    scene, objects = _draw_scene(frame, generator_for(recording.seed, _SHARED, "frame", *key))
    rig = make_rig(recording.seed, recording.view_spread_deg)
    kinds = []
    for number, camera in enumerate(rig):
        folder = recording.folder / SUBJECTS[recording.subject] / recording.name / camera.name
        folder.mkdir(parents=True, exist_ok=True)
        room = draw_table(_stage(recording).table, camera, scene)
        seen = render_buffers(scene, camera).in_front_of(room[1])
        depth = sense_depth(
            np.minimum(seen.depth_mm, room[1]),
            camera.focal_px[0],
            REALSENSE_D415,
            generator_for(recording.seed, _SHARED, "sensor", *key, number),
        )
        classes = class_image(scene, seen.face)
        visible = bool((classes == HAND_CLASS).any())
        picture = render_rgb(scene, camera, generator_for(recording.seed, _SHARED, "picture", *key, number), room)
        name = f"{frame.number:06d}"
        _save(folder / f"color_{name}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        _save(folder / f"aligned_depth_to_color_{name}.png", depth, [])
        labels = make_labels(scene, objects, camera, recording.side, visible)
        np.savez_compressed(folder / f"labels_{name}.npz", seg=classes, **labels)  # type: ignore[arg-type]
        kinds.append(SIDES[recording.side] if visible else "no hand")
    master = rig[SERIALS.index(MASTER)]
    labels = make_labels(scene, objects, master, recording.side, bool(scene.present.any()))
    pose_y = [np.concatenate([Rotation.from_matrix(pose[:, :3]).as_quat(), pose[:, 3]]) for pose in labels["pose_y"]]
    return FrameRecord(frame, kinds, labels["pose_m"], np.array(pose_y, dtype=np.float32))


def _save(path: Path, image: np.ndarray, options: list[int]) -> None:
    """Write an image in the format of its suffix."""
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())


def class_image(scene: Scene, face: np.ndarray) -> np.ndarray:
    """Return `seg` (H, W) uint8, given the visible faces (H, W): YCB numbers, `HAND_CLASS`, 0 for all else.

    The forearm counts as all else, as it does in MANO's mesh.
    """
    numbers = np.array([placed.model.ycb_id for placed in scene.objects], dtype=np.uint8)
    on_hand = (scene.face_hand != NONE) & (scene.face_part != PARTS.index("forearm"))
    of_face = np.where(on_hand, HAND_CLASS, np.where(scene.face_object == NONE, 0, numbers[scene.face_object]))
    return np.append(of_face, 0).astype(np.uint8)[face]  # the last is that of NO_FACE, -1


def make_labels(
    scene: Scene, objects: Sequence[PlacedObject], camera: Camera, side: int, visible: bool
) -> dict[str, np.ndarray]:
    """Return what a label file says about poses and joints; the marks of no hand if none is visible."""
    rotations = [camera.rotation @ obj.rotation for obj in objects]
    places = [world_to_camera(obj.translation_mm, camera.rotation, camera.center_mm) / MM_PER_M for obj in objects]
    pose_y = np.stack([np.column_stack(pose) for pose in zip(rotations, places, strict=True)])
    joint_3d = np.full((1, NUM_HAND_JOINTS, 3), NO_HAND)
    joint_2d, pose_m = np.full((1, NUM_HAND_JOINTS, 2), NO_HAND), np.zeros((1, 51))
    if visible:
        joints = world_to_camera(scene.joints_mm[hand_slice(side)], camera.rotation, camera.center_mm)
        joint_3d[0] = joints[list(inverse(FROM_DEXYCB))] / MM_PER_M
        joint_2d[0] = project(joint_3d[0], camera.focal_px, camera.principal_point_px)
        pose_m[0, :3] = Rotation.from_matrix(palm_frame(joints)).as_rotvec()
        pose_m[0, 48:] = joints[WRIST] / MM_PER_M
    labels = {"pose_y": pose_y, "pose_m": pose_m, "joint_3d": joint_3d, "joint_2d": joint_2d}
    return {name: values.astype(np.float32) for name, values in labels.items()}


def palm_frame(joints: Array) -> Array:
    """Return a frame (3, 3) on a palm, given joints (21, 3) in canonical order: y to the middle knuckle, x across."""
    index, middle, pinky = (joints[HAND_JOINTS.index(f"{finger}1")] for finger in ("index", "middle", "pinky"))
    y = middle - joints[WRIST]
    y = y / np.linalg.norm(y)
    x = index - pinky - (index - pinky) @ y * y
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def mano_name(subject: int, side: int) -> str:
    """Return the name of a subject's hand in `meta.yml` and in the calibration's folder."""
    return f"{SUBJECTS[subject][:8]}_080000_{SUBJECTS[subject][9:]}_{SIDES[side]}"


def write_recording(recording: Recording, frames: Sequence[FrameRecord]) -> None:
    """Write `meta.yml` and `pose.npz` of a recording."""
    stage = _stage(recording)
    target = recording.folder / SUBJECTS[recording.subject] / recording.name
    meta = {
        "extrinsics": EXTRINSICS_NAME,
        "mano_calib": [mano_name(recording.subject, recording.side)],
        "mano_sides": [SIDES[recording.side]],
        "num_frames": recording.num_frames,
        "serials": list(SERIALS),
        "ycb_grasp_ind": stage.grasped,
        "ycb_ids": [placed.model.ycb_id for placed in stage.objects],
    }
    (target / "meta.yml").write_text(yaml.dump(meta), encoding="utf-8")
    np.savez_compressed(
        target / "pose.npz",
        pose_m=np.stack([record.pose_m for record in frames]),
        pose_y=np.stack([record.pose_y for record in frames]),
    )


def write_calibration(folder: Path, recordings: Sequence[Recording]) -> None:
    """Write the cameras' intrinsics and extrinsics, and a file for each hand."""
    rig = make_rig(recordings[0].seed, recordings[0].view_spread_deg)
    master = rig[SERIALS.index(MASTER)]

    def to_master(rotation: Array, place_mm: Array) -> tuple[float, ...]:
        """Return the 12 numbers [R|t], row by row, in metres, of a frame that lies so in the world."""
        place = world_to_camera(place_mm, master.rotation, master.center_mm) / MM_PER_M
        return tuple(np.column_stack([master.rotation @ rotation, place]).ravel().tolist())

    extrinsics = {camera.name: to_master(camera.rotation.T, camera.center_mm) for camera in rig}
    extrinsics["apriltag"] = to_master(np.eye(3), TABLE_CENTER_MM)
    files: dict[str, dict] = {
        f"extrinsics_{EXTRINSICS_NAME}/extrinsics.yml": {"extrinsics": extrinsics, "master": MASTER}
    }
    for camera in rig:
        color = {
            "fx": camera.focal_px[0],
            "fy": camera.focal_px[1],
            "ppx": camera.principal_point_px[0],
            "ppy": camera.principal_point_px[1],
        }
        files[f"intrinsics/{camera.name}_{SIZE[1]}x{SIZE[0]}.yml"] = {
            "color": {key: float(value) for key, value in color.items()}
        }
    for recording in recordings:
        files[f"mano_{mano_name(recording.subject, recording.side)}/mano.yml"] = {"betas": [0.0] * 10}
    for name, content in files.items():
        path = folder / "calibration" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.dump(content), encoding="utf-8")


def write_dexycb(
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
        num_images: Images for each split of s0, in multiples of 8: all cameras see every frame.
        seed: Not negative.
        view_spread_deg: None: cameras stand on all sides but behind the person. A number makes an easier set: they
            stand within about this angle to both sides of the person's front.
        workers: Number of processes.
        overwrite: See `output.prepare_folder`.
        on_images: Called with the number of new images, for a progress bar.

    Returns:
        Images by (split of s0, `right`, `left` or `no hand`), or None if this very set was there already.

    Raises:
        ValueError: See `output.begin_set`; or a number of images is no multiple of 8.
        FileExistsError: See `output.prepare_folder`.
        RuntimeError: There was no room for the hands in very many draws; another seed will do.
    """
    folder = Path(folder)
    if any(count % len(SERIALS) for count in num_images.values()):
        raise ValueError(
            f"num_images: expected multiples of {len(SERIALS)}, for {len(SERIALS)} cameras see every "
            f"frame, got {num_images}"
        )
    begun = begin_set(folder, LAYOUT, num_images, seed, view_spread_deg, overwrite)
    if begun is None:
        return None
    (counts, note), target, folder = begun, folder, folder / STAGE
    recordings = [
        recording
        for split, count in counts.items()
        for recording in plan_split(folder, seed, split, count, view_spread_deg)
    ]
    recordings.sort(key=lambda recording: (recording.subject, recording.position))
    for subject, name in enumerate(SUBJECTS):
        for position in range(RECORDINGS):
            (folder / name / recording_name(subject, position)).mkdir(parents=True)
    frames = [Frame(recording, number) for recording in recordings for number in range(recording.num_frames)]
    records = work(draw_frame, frames, workers, lambda record: on_images(len(record.kinds)))
    for recording in recordings:
        write_recording(recording, [record for record in records if record.frame.recording == recording])
    write_calibration(folder, recordings)
    finish_set(target, LAYOUT, note)
    return Counter((record.frame.recording.split, kind) for record in records for kind in record.kinds)
