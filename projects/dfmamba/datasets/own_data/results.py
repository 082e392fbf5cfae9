"""Results on one's own data: a JSON of ours, see `dfmamba.evaluation.joints_json`.

A sample has the 42 joints in mm, and optionally `joints_px`, the same in the image, without which there are no errors
in px. Ids are the numbers of the samples' first hands in the annotation file, from 0, which is the ground truth.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.joints_json import Fields, JointsJSON, is_joints_json, joints_and_valid
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.io.json_values import numbers_of
from dfmamba.skeleton import TWO_HANDS


def _read_sample(
    path: Path, place: str, sample: dict[str, Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Fields]:
    """Return joints (42, 3), which are valid (42,), and the points in the image if they are there."""
    fields: Fields = {}
    if "joints_px" in sample:
        fields["points_px"] = numbers_of(path, place, "joints_px", sample["joints_px"], (count, 2))
    return *joints_and_valid(path, place, sample, count), fields


def _write_sample(joints: NDArray[np.floating], valid: NDArray[np.bool_], fields: Fields, gt: bool) -> dict[str, Any]:
    """Return a sample for JSON, in mm and px with four digits after the point."""
    sample: dict[str, Any] = {"valid": valid.astype(int).tolist()} if gt else {}
    if "points_px" in fields:
        sample["joints_px"] = fields["points_px"].round(4).tolist()
    return sample | {"joints": joints.round(4).tolist()}


def read_annotations(path: Path, pairs: str = "touching") -> JointTable | None:
    """Read an annotation file as ground truth; None for a JSON of predictions."""
    if is_joints_json(path):
        return None
    from dfmamba.datasets.own_data.ground_truth import read_own_data_gt

    return read_own_data_gt(path, pairs)


JOINTS_JSON = JointsJSON("own_data", TWO_HANDS.names, _read_sample, _write_sample)
RESULTS = ResultFiles(read=JOINTS_JSON.read, write=JOINTS_JSON.write, read_annotations=read_annotations)
