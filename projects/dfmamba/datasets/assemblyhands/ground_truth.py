"""AssemblyHands' annotation files as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.assemblyhands.annotations import frame_key, parse_assemblyhands
from dfmamba.evaluation.protocol import JointTable
from dfmamba.io.record_errors import require_parts
from dfmamba.skeleton import SIDES, TWO_HANDS, hand_slice


def read_assemblyhands_gt(data_file: str | Path) -> JointTable:
    """Read `assemblyhands_<split>_ego_data_*.json`, with `..._ego_calib_*` and `..._joint_3d_*` beside it.

    One row for each camera image with a hand that the toolkit evaluates, world frame, with the images' `extrinsic`; ids
    are `<recording>/<frame>/<camera>`.

    Raises:
        FileNotFoundError: One of the three files is missing.
        ValueError: A file is faulty.
    """
    data_file = Path(data_file)
    calib_file, joint_file = (
        data_file.with_name(data_file.name.replace("_ego_data_", part)) for part in ("_ego_calib_", "_joint_3d_")
    )
    require_parts(data_file, calib_file, joint_file)
    columns = parse_assemblyhands(data_file, calib_file, joint_file).columns
    images, row_of = np.unique(columns["image"], return_inverse=True)
    valid = np.zeros((len(images), TWO_HANDS.num_joints), dtype=bool)
    for side in range(len(SIDES)):
        rows = np.flatnonzero(columns["side"] == side)
        valid[row_of[rows], hand_slice(side)] = columns["joint_valid"][rows]
    camera = columns["camera"][images]
    names = [name.decode() for name in columns["camera_name"][camera].tolist()]
    ids = [
        f"{recording.decode()}/{frame_key(frame)}/{name}"
        for recording, frame, name in zip(
            columns["sequence_name"][camera].tolist(), columns["frame_idx"][images].tolist(), names, strict=True
        )
    ]
    return JointTable(
        ids,
        columns["world_mm"][columns["frame"][images]].astype(np.float64),
        valid,
        {
            "camera": np.array(names),
            "extrinsic": np.concatenate(
                [columns["rotation"][images], columns["translation_mm"][images][..., None]], axis=2
            ),
        },
        str(data_file),
    )
