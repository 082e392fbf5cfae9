"""A tiny DexYCB in its official layout, with numbers that can be worked out by hand.

Two subjects, five recordings each, so that s0's rule i % 5 puts the last one into another split than the others; two
cameras; recording i has 2 + i frames. The hand is flat and faces the camera: each finger is a column of the image,
20 mm beside the next one, its base 20 mm above the wrist and its tip 80 mm. The wrist of frame t, seen by the second
camera c = 1 or the first c = 0, is at (0.01 t, 0.02 c, 0.9) m. In the last frame of every view there is no hand.
"""

from pathlib import Path

import cv2
import numpy as np
import yaml

from dfmamba.datasets.dexycb.dataset import DexYCBDataset
from dfmamba.datasets.dexycb.recordings import Selection

SUBJECTS = ("20200709-subject-01", "20200918-subject-06")
SERIALS = ("836212060125", "932122062010")
SIDES = {SUBJECTS[0]: "right", SUBJECTS[1]: "left"}
SEQUENCES_PER_SUBJECT = 5
SELECTION = Selection(SUBJECTS, SERIALS, (0, 1, 2, 3), SEQUENCES_PER_SUBJECT)  # s0's train
FOCAL, PRINCIPAL_POINT = (600.0, 500.0), (320.0, 240.0)


def recording_names(subject: str) -> list[str]:
    """The recordings of a subject in order."""
    return [f"{subject[:8]}_1417{number:02d}" for number in range(SEQUENCES_PER_SUBJECT)]


def num_frames(number: int) -> int:
    """How many frames a recording has."""
    return 2 + number


def joints_m(frame: int, camera: int) -> np.ndarray:
    """The hand (21, 3) in DexYCB's order: the wrist, then thumb to little finger, each from the base to the tip."""
    wrist = np.array([0.01 * frame, 0.02 * camera, 0.9])
    fingers = [
        wrist + np.array([0.02 * (finger - 2), -0.02 * (i + 1), 0.001 * finger])
        for finger in range(5)
        for i in range(4)
    ]
    return np.array([wrist, *fingers])


def label(frame: int, camera: int, is_there: bool = True) -> dict[str, np.ndarray]:
    """The arrays of a label file."""
    points = joints_m(frame, camera)
    pixels = points[:, :2] / points[:, 2:] * FOCAL + PRINCIPAL_POINT
    segmentation = np.zeros((480, 640), dtype=np.uint8)
    segmentation[:50, :50] = 3  # an object
    if is_there:
        segmentation[200:241, 300:331] = 255
    return {
        "seg": segmentation,
        "pose_y": np.zeros((1, 3, 4), np.float32),
        "pose_m": np.full((1, 51), float(is_there), np.float32),
        "joint_3d": (points if is_there else np.full((21, 3), -1.0))[None].astype(np.float32),
        "joint_2d": (pixels if is_there else np.full((21, 2), -1.0))[None].astype(np.float32),
    }


def meta(subject: str, number: int) -> dict:
    """The content of a `meta.yml`."""
    return {
        "serials": list(SERIALS),
        "num_frames": num_frames(number),
        "extrinsics": "20200702_151821",
        "mano_calib": [f"20200709_140042_{subject[9:]}_{SIDES[subject]}"],
        "mano_sides": [SIDES[subject]],
        "ycb_ids": [3],
        "ycb_grasp_ind": 0,
    }


def view_folder(root: Path, subject: int = 0, number: int = 0, camera: int = 0) -> Path:
    """The folder of one recording and camera."""
    return root / SUBJECTS[subject] / recording_names(SUBJECTS[subject])[number] / SERIALS[camera]


def write_label(root: Path, arrays: dict[str, np.ndarray], frame: int = 0, **view: int) -> Path:
    """Write one label file; return its path."""
    path = view_folder(root, **view) / f"labels_{frame:06d}.npz"
    np.savez_compressed(path, **arrays)
    return path


def write_dexycb(root: Path) -> None:
    """Write the whole set; the pixel (row 20, column 10) of each image is white, the rest dark grey."""
    pixels = np.full((480, 640, 3), 40, dtype=np.uint8)
    pixels[20, 10] = 255
    picture = cv2.imencode(".jpg", pixels)[1].tobytes()
    intrinsics = root / "calibration" / "intrinsics"
    intrinsics.mkdir(parents=True)
    camera_entry = {"fx": FOCAL[0], "fy": FOCAL[1], "ppx": PRINCIPAL_POINT[0], "ppy": PRINCIPAL_POINT[1]}
    for serial in SERIALS:
        (intrinsics / f"{serial}_640x480.yml").write_text(yaml.safe_dump({"color": camera_entry}))
    for subject, name in enumerate(SUBJECTS):
        for number in range(SEQUENCES_PER_SUBJECT):
            for camera in range(len(SERIALS)):
                folder = view_folder(root, subject, number, camera)
                folder.mkdir(parents=True)
                for frame in range(num_frames(number)):
                    (folder / f"color_{frame:06d}.jpg").write_bytes(picture)
                    write_label(
                        root,
                        label(frame, camera, frame < num_frames(number) - 1),
                        frame,
                        subject=subject,
                        number=number,
                        camera=camera,
                    )
            (folder.parent / "meta.yml").write_text(yaml.safe_dump(meta(name, number)))


def open_dexycb(root: Path, setup: str = "s0", split: str = "train", **arguments) -> DexYCBDataset:
    """Open a split of the small set."""
    return DexYCBDataset(
        setup,
        split,
        **{
            "data_root": str(root),
            "subjects": SUBJECTS,
            "serials": SERIALS,
            "sequences_per_subject": SEQUENCES_PER_SUBJECT,
            "index_workers": 1,
        }
        | arguments,
    )
