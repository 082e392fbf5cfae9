"""A tiny NYU in its official layout, with numbers that can be worked out by hand.

Three frames. The hand of frame f is at z = 800 + 10 f mm; point i of the 36 is at x = i, y = 2 i, z + i mm (y UP), but
for two points of the 14: the pinky's tip (0) is at (80, 80, z), right of the camera's axis and above it, and the palm
(32) at (0, 0, z). Kinects 2 and 3 see all x 10 and 20 mm further right. A2J's center is (320, 240, z).
"""

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from dfmamba.datasets import NYUDataset

NUM_FRAMES = 3
PINKY_TIP, PALM = 0, 32
BACKGROUND_MM = 1500
JOINTS, CENTERS, V2V_CENTERS = "test/joint_data.mat", "nyu_center_test.mat", "center_test_refined.txt"
CROP = [{"type": "mmpose.LoadNYUDepth"}, {"type": "mmpose.CropDepthCube"}]
NAMES = [
    f"{finger}_KNU{knuckle}_{end}" for finger in ("F1", "F2", "F3", "F4", "TH") for knuckle in (3, 2, 1) for end in "AB"
] + [f"PALM_{i}" for i in range(1, 7)]


def contents() -> dict[str, np.ndarray]:
    """The arrays of both files."""
    xyz = np.zeros((3, NUM_FRAMES, 36, 3))
    for frame in range(NUM_FRAMES):
        z = 800 + 10 * frame
        for point in range(36):
            xyz[:, frame, point] = point, 2 * point, z + point
        xyz[:, frame, PINKY_TIP] = 80, 80, z
        xyz[:, frame, PALM] = 0, 0, z
    for view in range(3):
        xyz[view, ..., 0] += 10 * view
    x, y, z = np.moveaxis(xyz, -1, 0)
    uvd = np.stack([320 + 588.03 * x / z, 240 - 587.07 * y / z, z], axis=-1)
    centers = np.array([[[320, 240, 800 + 10 * frame]] for frame in range(NUM_FRAMES)], dtype=np.float64)
    names = np.empty((1, 36), dtype=object)  # savemat makes a cell of it, as in the published file
    names[0, :] = NAMES
    return {"joint_uvd": uvd, "joint_xyz": xyz, "joint_names": names, "centre_pixel": centers}


def write_annotations(root: Path, arrays: dict[str, np.ndarray], split: str = "test") -> None:
    """Write `joint_data.mat` and A2J's centers."""
    (root / split).mkdir(parents=True, exist_ok=True)
    joints = {name: array for name, array in arrays.items() if name.startswith("joint")}
    scipy.io.savemat(root / split / "joint_data.mat", joints, do_compression=True)
    centers = {name: array for name, array in arrays.items() if not name.startswith("joint")}
    scipy.io.savemat(root / f"nyu_center_{split}.mat", centers)


def depth_map(frame: int) -> np.ndarray:
    """The depth (480, 640) in mm: a wall, a square hand of 101 px around (320, 240), and a hole at (300, 230)."""
    depth = np.full((480, 640), BACKGROUND_MM)
    depth[190:291, 270:371] = 800 + 10 * frame + 25
    depth[230, 300] = 0
    return depth


def write_images(root: Path, split: str = "test") -> None:
    """Write the depth images of the first Kinect: red junk, green the high byte, blue the low one."""
    for frame in range(NUM_FRAMES):
        depth = depth_map(frame)
        rgb = np.stack([np.full_like(depth, 77), depth // 256, depth % 256], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(root / split / f"depth_1_{frame + 1:07d}.png")


def open_nyu(root: Path, **arguments) -> NYUDataset:
    """Open the data set, its index beside it."""
    return NYUDataset(**{"split": "test", "data_root": str(root), "cache_dir": str(root / "cache")} | arguments)
