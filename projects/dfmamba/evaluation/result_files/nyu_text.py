"""NYU's community text format: a line for each frame, u v d of 14 joints (px, px, mm).

That is the format of the published predictions and labels that awesome-hand-pose-estimation collects: 42 numbers a
line, in the order of the frames, with an image name in front in some files. Joints are those of
`dfmamba.skeleton.NYU_14`, in their order. In a `JointTable` they are in our camera frame: y down, mm.
"""

import re
from pathlib import Path

import numpy as np

from dfmamba.evaluation.result_files.text import check_unique, fault, is_number, parse_numbers, read_lines
from dfmamba.evaluation.scores import JointTable
from dfmamba.geometry import camera_to_nyu_uvd, nyu_uvd_to_camera
from dfmamba.skeleton import NYU_14

NUMBERS = 3 * NYU_14.num_joints


def read_nyu_text(path: str | Path) -> JointTable:
    """Read a file; ids are frame numbers from 1, from the names' last digits, or else the numbers of the lines.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line has more or fewer numbers, something that is no finite number, a depth that is not positive,
            a name in some lines only, a name without digits, or one that was there before.
    """
    path = Path(path)
    frames: dict[int | str, str] = {}
    rows, named = [], None
    for line, text in read_lines(path):
        words = text.replace(",", " ").split()
        has_name = not is_number(words[0])
        if named is not None and has_name != named:
            raise fault(path, f"line {line}", "an image name in front in all lines or in none", repr(words[0]))
        named = has_name
        check_unique(path, f"line {line}", _frame_of(path, line, words[0]) if has_name else line, frames)
        uvd = parse_numbers(path, line, words[has_name:], NUMBERS).reshape(-1, 3)
        if not (uvd[:, 2] > 0).all():
            raise fault(path, f"line {line}", "u v d with depths above 0 mm", uvd[:, 2].min())
        rows.append(uvd)
    joints = nyu_uvd_to_camera(np.array(rows))
    return JointTable(list(frames), joints, np.ones(joints.shape[:2], dtype=bool), source=str(path))


def _frame_of(path: Path, line: int, name: str) -> int:
    """Return the frame number in an image name: the last digits before the suffix."""
    found = re.search(r"([0-9]{1,9})(\.\w+)?$", name)
    if not found:
        raise fault(path, f"line {line}", "an image name with a frame number, such as depth_1_0000001.png", repr(name))
    return int(found[1])


def write_nyu_text(path: str | Path, table: JointTable) -> None:
    """Write joints of our camera frame in mm; with image names unless the frames are 1, 2, 3, ...

    Raises:
        ValueError: A frame occurs twice, or a joint is not in front of the camera.
    """
    order = np.argsort(np.asarray(table.ids), kind="stable")
    frames = np.asarray(table.ids)[order]
    if len(np.unique(frames)) != len(frames):
        twice = frames[1:][np.diff(frames) == 0]
        raise ValueError(f"{path}: expected each frame once, got frame {twice[0]} again")
    if not (table.joints_mm[..., 2] > 0).all():
        raise ValueError(f"{path}: expected joints in front of the camera, got a depth of "
                         f"{table.joints_mm[..., 2].min():.1f} mm")
    complete = np.array_equal(frames, np.arange(1, len(frames) + 1))
    with Path(path).open("w", encoding="utf-8") as file:
        for frame, uvd in zip(frames, camera_to_nyu_uvd(table.joints_mm[order]), strict=True):
            name = "" if complete else f"depth_1_{frame:07d}.png "
            file.write(name + " ".join(f"{value:.4f}" for value in uvd.reshape(-1)) + "\n")
