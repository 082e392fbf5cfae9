"""RHD's results: a JSON of ours, because the set has no format for them.

A sample has the 21 joints of the hand that `hand` ('right' or 'left') names. Ground truth optionally adds `seen` (21 of
0 and 1), which says that all joints are true ones and which of them are seen. See `dfmamba.evaluation.joints_json` for
the rest.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.joints_json import Fields, JointsJSON, is_joints_json, joints_and_valid
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.io.json_values import mask_of
from dfmamba.io.record_errors import place_error
from dfmamba.skeleton import ONE_HAND, SIDES, TWO_HANDS, hand_slice


def _read_sample(
    path: Path, place: str, sample: dict[str, Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Fields]:
    """Return joints (42, 3), of which 21 are 0, valid (42,), and which hand it is; all its joints if they are known."""
    if sample.get("hand") not in SIDES:
        raise place_error(path, place, f"a 'hand' among {SIDES}", repr(sample.get("hand")))
    side = SIDES.index(sample["hand"])
    joints, valid = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
    joints[hand_slice(side)], valid[hand_slice(side)] = joints_and_valid(path, place, sample, count)
    fields: Fields = {"hand_type": np.arange(len(SIDES)) == side}
    if "seen" in sample:
        fields["seen"], fields["all_joints_mm"] = np.zeros(TWO_HANDS.num_joints, dtype=bool), joints
        fields["seen"][hand_slice(side)] = mask_of(path, place, "seen", sample["seen"], (count,))
    return joints, valid, fields


def _write_sample(joints: NDArray[np.floating], valid: NDArray[np.bool_], fields: Fields, gt: bool) -> dict[str, Any]:
    """Return a sample for JSON, in mm with four digits after the point."""
    part, sample = slice(None), dict[str, Any]()
    if "hand_type" in fields:
        side = int(np.argmax(fields["hand_type"]))
        part, sample["hand"] = hand_slice(side), SIDES[side]
    if gt:
        sample["valid"] = valid[part].astype(int).tolist()
        if "seen" in fields:
            joints, sample["seen"] = fields["all_joints_mm"], fields["seen"][part].astype(int).tolist()
    return sample | {"joints": joints[part].round(4).tolist()}


def read_annotations(path: Path, validity: str = "visible", hand: str = "prominent") -> JointTable | None:
    """Read the pickle or a COCO-style JSON; None for a JSON of ours."""
    if is_joints_json(path):
        return None
    from dfmamba.datasets.rhp.ground_truth import read_rhp_gt

    return read_rhp_gt(path, validity, hand)


JOINTS_JSON = JointsJSON("rhp", ONE_HAND.names, _read_sample, _write_sample)
RESULTS = ResultFiles(
    read=JOINTS_JSON.read,
    write=JOINTS_JSON.write,
    read_annotations=read_annotations,
)
