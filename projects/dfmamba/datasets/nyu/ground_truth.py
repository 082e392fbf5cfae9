"""NYU's joint_data.mat as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.nyu.annotations import parse_nyu
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.evaluation.protocol import JointTable


def read_nyu_gt(joint_file: str | Path) -> JointTable:
    """Read `joint_data.mat` as the first camera sees it; ids are frames from 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty.
    """
    columns = parse_nyu(joint_file, None, RecordErrorPolicy()).columns
    joints = columns["joints_cam"]
    return JointTable(
        (columns["frame"] + 1).tolist(), joints, np.ones(joints.shape[:2], dtype=bool), source=str(joint_file)
    )
