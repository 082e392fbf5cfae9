"""Write synthetic hands in the layout of RHD v1.1, the Rendered Hand Pose data set ("RHP" in papers).

For each split colour, depth and mask images and a pickle, as the set's authors publish them; also the two COCO-style
JSON files made from it, InterNet's `RHD_<split>.json` and mmpose's `annotations/rhd_<split>.json`. Sources of the
layout: the set's paper (Zimmermann and Brox, ICCV 2017) and reader (hand3d), the loaders of InterNet and mmpose, and
three real samples in mmpose's test data.

As in the real set, a rendered person shows at least one hand to a camera at arm's length, and depth is exact. What
differs: the person is made of capsules, the background is a pattern and not a photograph, nobody acts (every image is a
new pose), a joint is visible if the skin at its pixel is that of its own finger or palm and less than 30 mm nearer (the
rule of the real set is not known to us), and in one image of 32 no joint is visible.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dfmamba.geometry import Array, look_at, project, world_to_camera
from dfmamba.skeleton import (
    FINGERS,
    FROM_RHD,
    HAND_JOINTS,
    LEFT,
    NUM_HAND_JOINTS,
    RIGHT,
    SIDES,
    WRIST,
    hand_slice,
    inverse,
)
from dfmamba.synthesis.contact import capsule_gap
from dfmamba.synthesis.hand import SEGMENTS
from dfmamba.synthesis.output import SPLITS, STAGE, Layout, begin_set, finish_set, generator_for, work
from dfmamba.synthesis.person import FREE_ARMS, Person, sample_person
from dfmamba.synthesis.render import Fragments
from dfmamba.synthesis.rhp_files import FOLDERS, SIDE, FrameRecord, file_name, write_annotations, write_skeleton
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
from dfmamba.synthesis.surface import PARTS

LAYOUT = Layout(
    "rhp",
    "RHD v1.1 (Rendered Hand Pose)",
    tuple(FOLDERS),
    (*FOLDERS.values(), "annotations", *(f"RHD_{folder}.json" for folder in FOLDERS.values()), "skeleton.txt"),
    generation=1,
)
PRINCIPAL_POINT_PX = (160.0, 160.0)
FOCAL_PX = (260.0, 310.0)
DISTANCE_MM = (330.0, 750.0)  # from the camera to the middle of a hand
CAMERA_CLEARANCE_MM = 80.0
DEEPEST_MM = 30.0  # below the skin that a visible joint may be: more than half a wrist
MIN_VISIBLE = 11  # joints of the hand that the camera looks at
MAX_TRIES = 200
SUBJECTS = {"train": 16, "test": 4}  # the real set's numbers of characters; none is in both splits
PERSON = 1  # class in the masks; 0 is the background
FIRST_CLASS = {LEFT: 2, RIGHT: 18}  # of a hand: thumb tip, ..., thumb base, index tip, ...; the last one is the palm
FARTHEST_M, STEPS = 5.0, 65535  # depth images: depth is STEPS-ths of FARTHEST_M
ODD_PERIOD = 32  # of these images, four show a hand that the border cuts, and one no joint at all
MIN_IMAGES_FOR_ODD = 12
CUT_PLACES, HIDDEN_PLACE = (1, 6, 17, 22), 11


@dataclass(frozen=True)
class Frame:
    """What to draw: one image.

    Attributes:
        seed: Of the whole set.
        folder: Root of the set.
        split: `train` or `test`.
        number: Counts the images of the split from 0.
        subject: Number of the person.
        odd: Whether the split has odd records.
        view_spread_deg: See `write_rhp`.
    """

    seed: int
    folder: Path
    split: str
    number: int
    subject: int
    odd: bool
    view_spread_deg: float | None

    @property
    def kind(self) -> str:
        """`whole`, `cut` (by the border) or `hidden`."""
        place = self.number % ODD_PERIOD
        if self.odd and place == HIDDEN_PLACE:
            return "hidden"
        return "cut" if self.odd and place in CUT_PLACES else "whole"


@lru_cache(maxsize=8)
def _subject(seed: int, split: str, number: int) -> Subject:
    return make_subject(generator_for(seed, split, "subject", number))


def _classes_of_parts() -> np.ndarray:
    """Return the mask's class of each of `PARTS` of a right and of a left hand (2, parts)."""
    classes = np.full((len(SIDES), len(PARTS)), PERSON)
    for side, first in FIRST_CLASS.items():
        for finger, name in enumerate(FINGERS):
            for segment in range(1, SEGMENTS + 1):  # 1 is next to the palm
                classes[side, PARTS.index(f"{name}{segment}")] = first + SEGMENTS * finger + SEGMENTS - segment
        classes[side, PARTS.index("palm")] = first + SEGMENTS * len(FINGERS)
    return classes


def _parts_of_joints() -> np.ndarray:
    """Return which of `PARTS` meet at a joint: (21, parts) bool."""
    meet = np.zeros((NUM_HAND_JOINTS, len(PARTS)), dtype=bool)
    for joint, name in enumerate(HAND_JOINTS):
        if joint == WRIST:
            parts = ["palm", "forearm"]
        else:
            finger, place = name[:-1], int(name[-1])
            parts = ["palm" if k == 0 else f"{finger}{k}" for k in (place - 1, place) if k <= SEGMENTS]
        meet[joint, [PARTS.index(part) for part in parts]] = True
    return meet


CLASSES_OF_PARTS, PARTS_OF_JOINTS = _classes_of_parts(), _parts_of_joints()


def mask_of(scene: Scene, fragments: Fragments) -> np.ndarray:
    """Return the classes (H, W) uint8 of what is seen."""
    on_hand = scene.face_hand != NONE
    of_face = np.full(len(scene.faces), PERSON, dtype=np.uint8)
    of_face[on_hand] = CLASSES_OF_PARTS[scene.face_hand[on_hand], scene.face_part[on_hand]]
    return np.where(fragments.covered, of_face[fragments.face], 0).astype(np.uint8)


def visible_joints(scene: Scene, fragments: Fragments, joints_cam: Array, pixels: Array) -> np.ndarray:
    """Return which of the joints (42,) are seen: in front of them is nothing but the skin of the parts that meet there.

    Args:
        scene: What is there.
        fragments: What the camera sees.
        joints_cam: (42, 3) in mm, camera frame.
        pixels: (42, 2) where they are in the image.
    """
    height, width = fragments.face.shape
    inside = ((np.rint(pixels) >= 0) & (np.rint(pixels) < (width, height))).all(axis=1) & (joints_cam[:, 2] > 0)
    visible = np.zeros(len(pixels), dtype=bool)
    for joint in np.flatnonzero(inside):
        column, row = np.rint(pixels[joint]).astype(int)
        face = fragments.face[row, column]
        side, own = divmod(int(joint), NUM_HAND_JOINTS)
        below_mm = joints_cam[joint, 2] - fragments.depth_mm[row, column]
        if fragments.covered[row, column] and scene.face_hand[face] == side and below_mm < DEEPEST_MM:
            visible[joint] = PARTS_OF_JOINTS[own, scene.face_part[face]]
    return visible


def encode_depth(depth_mm: Array) -> np.ndarray:
    """Return a depth image (H, W, 3) uint8, BGR: R is the high byte, G the low byte of depth in 65535-ths of 5 m."""
    steps = np.rint(np.minimum(depth_mm / (1000 * FARTHEST_M), 1) * STEPS).astype(np.uint16)
    return np.stack([np.zeros_like(steps), steps & 255, steps >> 8], axis=-1).astype(np.uint8)


def _sample_camera(person: Person, frame: Frame, rng: np.random.Generator) -> Camera:
    """Draw a camera around one of the hands that looks at it, or past it if the frame is not `whole`."""
    target = person.hands[rng.integers(len(person.hands))].joints_mm.mean(axis=0)
    spread = 180.0 if frame.view_spread_deg is None else frame.view_spread_deg
    azimuth, elevation = np.radians(rng.uniform(-spread, spread)), np.radians(rng.uniform(-25, 55))
    away = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])
    distance, focal = rng.uniform(*DISTANCE_MM), round(rng.uniform(*FOCAL_PX), 1)
    center, roll = target + distance * away, rng.normal(0, 8)
    turn = rng.uniform(0, 2 * np.pi)
    off_px = {"whole": rng.uniform(0, 75), "cut": rng.uniform(135, 165), "hidden": 600.0}[frame.kind]
    sideways = off_px * distance / focal * np.array([np.cos(turn), np.sin(turn), 0.0])
    rotation = look_at(center, target + sideways @ look_at(center, target, roll), roll)
    return Camera(
        "",
        center,
        rotation,
        np.full(2, focal),
        np.array(PRINCIPAL_POINT_PX),
        (SIDE, SIDE),
        False,
        rng.uniform([0.85, 0.85, 0.75], 1.0),
    )


def _stands_free(camera: Camera, person: Person, subject: Subject) -> bool:
    """Return whether a camera keeps clear of the body and the hands."""
    point = np.broadcast_to(camera.center_mm, (1, 2, 3))
    gaps = [capsule_gap(person.body_ends_mm, person.body_radii_mm, point, np.zeros((1, 2))).min()]
    gaps += [
        capsule_gap(hand.ends_mm, subject.surface.capsules.radii_mm, point, np.zeros((1, 2))).min()
        for hand in person.hands
    ]
    return min(gaps) > CAMERA_CLEARANCE_MM


def _sample_view(frame: Frame, rng: np.random.Generator) -> tuple[Scene, Camera, Fragments, Array, np.ndarray]:
    """Draw persons and cameras until the hand with more pixels has as many visible joints as this frame should.

    Returns:
        Scene, camera, what it sees, the joints (42, 3) in its frame in canonical order, which of them are seen (42,).
    """
    subject, spread = _subject(frame.seed, frame.split, frame.subject), frame.view_spread_deg
    habit = FREE_ARMS if spread is None else replace(FREE_ARMS, roll_deg=min(spread, FREE_ARMS.roll_deg))
    for _ in range(MAX_TRIES):
        person = sample_person(subject, (RIGHT, LEFT), habit, rng)
        camera = _sample_camera(person, frame, rng)
        if not _stands_free(camera, person, subject):
            continue
        scene = compose_scene(subject, person.hands, sample_lighting(rng), person.body)
        fragments = render_buffers(scene, camera)
        joints = world_to_camera(scene.joints_mm, camera.rotation, camera.center_mm)
        pixels = project(joints, camera.focal_px, camera.principal_point_px)
        visible = visible_joints(scene, fragments, joints, pixels)
        most = max(visible[hand_slice(side)].sum() for side in (RIGHT, LEFT))
        least, greatest = {"whole": (MIN_VISIBLE, 42), "cut": (3, MIN_VISIBLE), "hidden": (0, 0)}[frame.kind]
        if least <= most <= greatest:
            return scene, camera, fragments, joints, visible
    raise RuntimeError(f"{frame.split} image {frame.number}: no view of {MAX_TRIES} shows the hands well")


def prominent_side(mask: np.ndarray) -> int:
    """Return the hand with more pixels in a mask of classes, the right one if equal."""
    palm = SEGMENTS * len(FINGERS)
    pixels = {side: ((mask >= first) & (mask <= first + palm)).sum() for side, first in FIRST_CLASS.items()}
    return LEFT if pixels[LEFT] > pixels[RIGHT] else RIGHT


def draw_frame(frame: Frame) -> FrameRecord:
    """Pose, render and save one image; return its records."""
    scene, camera, fragments, joints, visible = _sample_view(
        frame, generator_for(frame.seed, frame.split, "frame", frame.number)
    )
    mask = mask_of(scene, fragments)
    images = {
        "color": render_rgb(scene, camera, generator_for(frame.seed, frame.split, "picture", frame.number)),
        "depth": encode_depth(fragments.depth_mm),
        "mask": mask,
    }
    for kind, image in images.items():
        path = frame.folder / FOLDERS[frame.split] / kind / file_name(frame.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    order = list(inverse(FROM_RHD))
    pixels = project(joints, camera.focal_px, camera.principal_point_px)
    matrix = np.eye(3)
    matrix[[0, 1], [0, 1]], matrix[:2, 2] = camera.focal_px, camera.principal_point_px
    side = prominent_side(mask)
    return FrameRecord(
        frame.split,
        frame.number,
        (joints[order] / 1000).tolist(),
        np.concatenate([pixels, visible[:, None]], axis=1)[order].tolist(),
        matrix.tolist(),
        side if visible[hand_slice(side)].any() else None,
    )


def write_rhp(
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
        num_images: Images for `train` (folder `training`) and `test` (`evaluation`).
        seed: Not negative.
        view_spread_deg: None: cameras stand all around a hand. A number makes an easier set: they stand within so many
            degrees to both sides of the person's front, and forearms turn as little about their length.
        workers: Number of processes.
        overwrite: See `output.prepare_folder`.
        on_images: Called with the number of new images, for a progress bar.

    Returns:
        Images by split and the hand that the JSON files annotate (`right`, `left`, or `hidden` where no joint is
        visible, which they leave out), or None if this very set was there already.

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
        Frame(seed, folder, split, number, number % SUBJECTS[split], count >= MIN_IMAGES_FOR_ODD, view_spread_deg)
        for split, count in counts.items()
        for number in range(count)
    ]
    # One person after the other: a process then has to make few.
    frames.sort(key=lambda frame: (SPLITS.index(frame.split), frame.subject, frame.number))
    records = work(draw_frame, frames, workers, lambda record: on_images(1))
    records.sort(key=lambda record: record.number)
    for split in counts:
        write_annotations(folder, split, [record for record in records if record.split == split])
    write_skeleton(folder)
    finish_set(target, LAYOUT, note)
    return Counter((record.split, "hidden" if record.side is None else SIDES[record.side]) for record in records)
