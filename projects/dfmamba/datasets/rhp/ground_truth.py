"""RHD's annotation files as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.rhp.annotations import parse_rhp
from dfmamba.evaluation.protocol import JointTable
from dfmamba.skeleton import SIDES, TWO_HANDS, hand_slice


def read_rhp_gt(ann_file: str | Path, validity: str = "visible", hand: str = "prominent") -> JointTable:
    """Read `anno_evaluation.pickle` or a COCO-style JSON; ids are annotation ids.

    Args:
        ann_file: The file; of the pickle, the masks lie in `mask` beside it.
        validity: 'visible' or 'annotated', see `parse_rhp`.
        hand: Which of the two hands of each image, see `parse_rhp`; 'prominent' and 'most_pixels' need the masks.

    Raises:
        FileNotFoundError: The file or a mask does not exist.
        ValueError: The file is faulty.
    """
    columns = parse_rhp(ann_file, hand=hand, validity=validity).columns
    count = len(columns["annotation_id"])
    joints, (valid, seen) = (
        np.zeros((count, TWO_HANDS.num_joints, 3)),
        np.zeros((2, count, TWO_HANDS.num_joints), dtype=bool),
    )
    for side in range(len(SIDES)):
        rows = np.flatnonzero(columns["side"] == side)
        joints[rows, hand_slice(side)] = columns["joints_cam_mm"][rows]
        valid[rows, hand_slice(side)] = columns["joint_valid"][rows]
        seen[rows, hand_slice(side)] = columns["joint_seen"][rows]
    return JointTable(
        columns["annotation_id"].tolist(),
        np.where(valid[..., None], joints, 0),
        valid,
        {"hand_type": columns["side"][:, None] == np.arange(len(SIDES)), "all_joints_mm": joints, "seen": seen},
        str(ann_file),
    )
