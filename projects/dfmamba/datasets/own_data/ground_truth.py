"""One's own annotation file as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.own_data.annotations import parse_own_data
from dfmamba.datasets.own_data.grouping import group_hands
from dfmamba.datasets.own_data.placing import place_hands
from dfmamba.evaluation.protocol import JointTable
from dfmamba.geometry import project


def read_own_data_gt(ann_file: str | Path, pairs: str = "touching") -> JointTable:
    """Read an annotation file; ids are the numbers of the samples' first hands in it.

    Args:
        ann_file: The file.
        pairs: Which hands make one sample, see `group_hands`.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is faulty.
    """
    columns = parse_own_data(ann_file).columns
    samples = group_hands(columns, pairs)
    placed = [place_hands(columns, rows) for rows in samples]
    points = []
    for hands in placed:
        joints = np.where(hands.valid[:, None], hands.joints_cam_mm, (0, 0, 1))
        points.append(project(joints, hands.focal_px, hands.principal_point_px))
    fields = {
        "space_known": np.array([hands.space_known for hands in placed]),
        "depth_known": np.array([hands.depth_known for hands in placed]),
        "points_px": np.array(points),
        "box_px": np.array([(hands.box_xyxy[2:] - hands.box_xyxy[:2]).max() for hands in placed]),
    }
    valid = np.array([hands.valid for hands in placed])
    joints = np.array([hands.joints_cam_mm for hands in placed])
    first = [int(columns["hand_id"][rows[rows >= 0].min()]) for rows in samples]
    return JointTable(first, np.where(valid[..., None], joints, 0), valid, fields, str(ann_file))
