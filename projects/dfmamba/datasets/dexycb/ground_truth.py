"""DexYCB's label files as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.dexycb.annotations import parse_dexycb
from dfmamba.datasets.dexycb.recordings import Selection
from dfmamba.datasets.dexycb.splits import SERIALS, SUBJECTS, get_split
from dfmamba.evaluation.protocol import JointTable
from dfmamba.skeleton import ONE_HAND


def read_dexycb_gt(
    root: str | Path, setup: str = "s0", split: str = "test", selection: Selection | None = None
) -> JointTable:
    """Read a split of DexYCB from its folder; ids are the toolkit's image ids.

    Args:
        root: The folder.
        setup: 's0' to 's3'.
        split: 'train', 'val' or 'test'.
        selection: Another part of the set than that split, for smaller trees.

    Raises:
        FileNotFoundError: A part of the tree is missing.
        ValueError: There is no such set-up or split, or a file is faulty.
    """
    part = get_split(setup, split)
    official = Selection(
        tuple(SUBJECTS[number] for number in part.subjects),
        tuple(SERIALS[number] for number in part.cameras),
        part.sequences,
    )
    columns = parse_dexycb(root, selection or official).columns
    joints = columns["joints_cam_mm"].reshape(-1, ONE_HAND.num_joints, 3)
    return JointTable(
        columns["image_id"].tolist(), joints, np.ones(joints.shape[:2], dtype=bool), source=f"{root} ({setup} {split})"
    )
