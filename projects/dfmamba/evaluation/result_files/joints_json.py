"""Our JSON for InterHand2.6M and RHP, which have no format of their own for results; also used for their truth.

    {"format": "dfmamba joints", "version": 1, "protocol": "interhand26m", "unit": "mm",
     "frame": "camera: x right, y down, z forward", "joints": ["right_thumb4", ...],
     "samples": [{"id": 17, "joints": [[x, y, z], ...], ...}, ...]}

A sample of InterHand2.6M has 42 joints; a prediction may have `handedness` [right, left], probabilities, and `roots`
[[x, y, z], [x, y, z]], the right and left wrist for MRRPE. A sample of RHP has the 21 joints of the hand that `hand`
('right' or 'left') names. The truth adds `valid` (42 or 21 of 0 and 1), and for InterHand2.6M `hand_type` ('right',
'left' or 'interacting') and optionally `hand_type_valid` (0 or 1); for RHP optionally `seen` (21 of 0 and 1), which
says that all joints are true ones and which of them are seen. Ids are those of the data set's annotations.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.result_files.json_text import mask_of, numbers_of, read_json, shrink
from dfmamba.evaluation.result_files.text import check_unique, fault
from dfmamba.evaluation.scores import JointTable, stack_fields
from dfmamba.skeleton import NUM_HAND_JOINTS, ONE_HAND, SIDES, TWO_HANDS, hand_slice

FORMAT, VERSION = "dfmamba joints", 1
HEADER = {"format": FORMAT, "version": VERSION, "unit": "mm", "frame": "camera: x right, y down, z forward"}
JOINT_NAMES = {"interhand26m": TWO_HANDS.names, "rhp": ONE_HAND.names}
HAND_TYPES = {"right": (True, False), "left": (False, True), "interacting": (True, True)}  # (right, left)


def is_joints_json(path: str | Path) -> bool:
    """Say whether a file begins as ours do; false for a folder."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return FORMAT.encode() in file.read(200)


def read_joints_json(protocol: str, path: str | Path) -> JointTable:
    """Read a file of 'interhand26m' or 'rhp'. RHP's hands come into their half of 42 joints.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not complete, of another format, protocol, unit or joint order; a sample lacks
            something, has other numbers of joints or numbers that are not finite; or an id occurs twice.
    """
    path = Path(path)
    content = read_json(path, object_hook=lambda record: shrink(record, "joints"))
    _check_header(path, protocol, content)
    read = _read_interhand26m if protocol == "interhand26m" else _read_rhp
    seen: dict[int | str, str] = {}
    joints, valid, fields = [], [], []
    for number, sample in enumerate(content["samples"]):
        place = f"sample number {number}"
        if not isinstance(sample, dict) or type(sample.get("id")) not in (int, str):  # True is an int, too
            raise fault(path, place, "a dictionary with an 'id', number or text", str(sample)[:100])
        check_unique(path, place, sample["id"], seen)
        entries = read(path, f"sample {sample['id']!r}", sample)
        joints.append(entries[0])
        valid.append(entries[1])
        fields.append(entries[2])
    return JointTable(list(seen), np.array(joints), np.array(valid), stack_fields(fields), source=str(path))


def _check_header(path: Path, protocol: str, content: Any) -> None:
    """Refuse what is not a file of this protocol."""
    if not isinstance(content, dict):
        raise fault(path, "-", "a dictionary", f"a {type(content).__name__}")
    for key, value in {**HEADER, "protocol": protocol, "joints": list(JOINT_NAMES[protocol])}.items():
        got = content.get(key)
        if isinstance(got, np.ndarray) or got != value:
            raise fault(path, "-", f"{key!r} {value!r}", repr(got)[:300])
    if not isinstance(content.get("samples"), list) or not content["samples"]:
        raise fault(path, "-", "a list 'samples' that is not empty", str(content.get("samples"))[:100])


def _read_interhand26m(path: Path, place: str, sample: dict) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
    """Return joints (42, 3), valid (42,) and the fields of a sample."""
    joints, valid = _joints_and_valid(path, place, sample, TWO_HANDS.num_joints)
    fields: dict[str, NDArray] = {}
    if "handedness" in sample:
        fields["handedness"] = numbers_of(path, place, "handedness", sample["handedness"], (2,))
        if not ((fields["handedness"] >= 0) & (fields["handedness"] <= 1)).all():
            raise fault(path, place, "'handedness' [right, left], probabilities from 0 to 1", sample["handedness"])
    if "roots" in sample:
        fields["roots_mm"] = numbers_of(path, place, "roots", sample["roots"], (2, 3))
    if "hand_type" in sample:
        if not isinstance(sample["hand_type"], str) or sample["hand_type"] not in HAND_TYPES:
            raise fault(path, place, f"a 'hand_type' among {list(HAND_TYPES)}", repr(sample["hand_type"]))
        fields["hand_type"] = np.array(HAND_TYPES[sample["hand_type"]])
        fields["hand_type_valid"] = mask_of(path, place, "hand_type_valid", sample.get("hand_type_valid", 1), ())
    return joints, valid, fields


def _read_rhp(path: Path, place: str, sample: dict) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
    """Return joints (42, 3), of which 21 are 0, valid (42,), and which hand it is; all its joints if they are known."""
    if sample.get("hand") not in SIDES:
        raise fault(path, place, f"a 'hand' among {SIDES}", repr(sample.get("hand")))
    side = SIDES.index(sample["hand"])
    joints, valid = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
    joints[hand_slice(side)], valid[hand_slice(side)] = _joints_and_valid(path, place, sample, NUM_HAND_JOINTS)
    fields: dict[str, NDArray] = {"hand_type": np.arange(len(SIDES)) == side}
    if "seen" in sample:
        fields["seen"], fields["all_joints_mm"] = np.zeros(TWO_HANDS.num_joints, dtype=bool), joints
        fields["seen"][hand_slice(side)] = mask_of(path, place, "seen", sample["seen"], (NUM_HAND_JOINTS,))
    return joints, valid, fields


def _joints_and_valid(path: Path, place: str, sample: dict, count: int) -> tuple[NDArray, NDArray[np.bool_]]:
    """Return the joints (count, 3) of a sample, and which are valid (count,): all, if it does not say."""
    joints = numbers_of(path, place, "joints", sample.get("joints"), (count, 3))
    if "valid" not in sample:
        return joints, np.ones(count, dtype=bool)
    return joints, mask_of(path, place, "valid", sample["valid"], (count,))


def write_joints_json(protocol: str, path: str | Path, table: JointTable, *, truth: bool = False) -> None:
    """Write a file of 'interhand26m' or 'rhp', one sample a line; the truth with what only a truth has."""
    header = {**HEADER, "protocol": protocol, "joints": JOINT_NAMES[protocol]}
    with Path(path).open("w", encoding="utf-8") as file:
        file.write(json.dumps(header)[:-1] + ', "samples": [\n')
        for row, identity in enumerate(table.ids):
            fields = {name: values[row] for name, values in table.fields.items()}
            sample = {"id": identity, **_write_sample(protocol, table.joints_mm[row], table.valid[row], fields, truth)}
            file.write(json.dumps(sample, allow_nan=False) + (",\n" if row + 1 < len(table.ids) else "\n"))
        file.write("]}\n")


def _write_sample(
    protocol: str, joints: NDArray, valid: NDArray[np.bool_], fields: dict[str, NDArray], truth: bool
) -> dict[str, Any]:
    """Return a sample for JSON, in mm with four digits after the point."""
    hands = fields.get("hand_type")
    part = slice(None)
    sample: dict[str, Any] = {}
    if protocol == "rhp" and hands is not None:
        sample["hand"] = SIDES[int(np.argmax(hands))]
        part = hand_slice(int(np.argmax(hands)))
    if truth:
        sample["valid"] = valid[part].astype(int).tolist()
        if protocol == "rhp" and "seen" in fields:
            joints, sample["seen"] = fields["all_joints_mm"], fields["seen"][part].astype(int).tolist()
    sample["joints"] = joints[part].round(4).tolist()
    if protocol == "interhand26m":
        for name, field in {"handedness": "handedness", "roots": "roots_mm"}.items():
            if field in fields and np.isfinite(fields[field]).all():
                sample[name] = fields[field].round(4).tolist()
        if truth and hands is not None:
            sample["hand_type"] = next(name for name, bits in HAND_TYPES.items() if bits == tuple(hands > 0))
            sample["hand_type_valid"] = int(fields.get("hand_type_valid", 1))
    return sample
