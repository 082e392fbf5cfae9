"""InterHand2.6M's results: a JSON of ours, because the set has no format for them.

A sample has 42 joints; a prediction may have `handedness` [right, left], probabilities, and `roots`
[[x, y, z], [x, y, z]], the right and left wrist for MRRPE. Ground truth adds `hand_type` ('right', 'left' or
'interacting') and optionally `hand_type_valid` (0 or 1). See `dfmamba.evaluation.joints_json` for the rest.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.joints_json import Fields, JointsJSON, is_joints_json, joints_and_valid, write_joints
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.io.json_values import mask_of, numbers_of
from dfmamba.io.record_errors import place_error
from dfmamba.skeleton import TWO_HANDS

HAND_TYPES = {"right": (True, False), "left": (False, True), "interacting": (True, True)}  # (right, left)


def _read_sample(
    path: Path, place: str, sample: dict[str, Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Fields]:
    """Return joints (42, 3), valid (42,) and the fields of a sample."""
    joints, valid = joints_and_valid(path, place, sample, count)
    fields: Fields = {}
    if "handedness" in sample:
        fields["handedness"] = numbers_of(path, place, "handedness", sample["handedness"], (2,))
        if not ((fields["handedness"] >= 0) & (fields["handedness"] <= 1)).all():
            raise place_error(
                path, place, "'handedness' [right, left], probabilities from 0 to 1", sample["handedness"]
            )
    if "roots" in sample:
        fields["roots_mm"] = numbers_of(path, place, "roots", sample["roots"], (2, 3))
    if "hand_type" in sample:
        if not isinstance(sample["hand_type"], str) or sample["hand_type"] not in HAND_TYPES:
            raise place_error(path, place, f"a 'hand_type' among {list(HAND_TYPES)}", repr(sample["hand_type"]))
        fields["hand_type"] = np.array(HAND_TYPES[sample["hand_type"]])
        fields["hand_type_valid"] = mask_of(path, place, "hand_type_valid", sample.get("hand_type_valid", 1), ())
    return joints, valid, fields


def _write_sample(joints: NDArray[np.floating], valid: NDArray[np.bool_], fields: Fields, gt: bool) -> dict[str, Any]:
    """Return a sample for JSON, in mm with four digits after the point."""
    sample = write_joints(joints, valid, fields, gt)
    for name, field in {"handedness": "handedness", "roots": "roots_mm"}.items():
        if field in fields and np.isfinite(fields[field]).all():
            sample[name] = fields[field].round(4).tolist()
    if gt and "hand_type" in fields:
        hands = tuple(fields["hand_type"] > 0)
        sample["hand_type"] = next(name for name, bits in HAND_TYPES.items() if bits == hands)
        sample["hand_type_valid"] = int(fields.get("hand_type_valid", 1))
    return sample


def read_annotations(path: Path) -> JointTable | None:
    """Read `*_data.json`, with the other two files beside it; None for a JSON of ours."""
    if is_joints_json(path):
        return None
    from dfmamba.datasets.interhand26m.ground_truth import read_interhand26m_gt

    return read_interhand26m_gt(path)


JOINTS_JSON = JointsJSON("interhand26m", TWO_HANDS.names, _read_sample, _write_sample)
RESULTS = ResultFiles(
    read=JOINTS_JSON.read,
    write=JOINTS_JSON.write,
    read_annotations=read_annotations,
)
