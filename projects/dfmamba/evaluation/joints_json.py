"""Our JSON for data sets that have no format of their own for results; also used for their ground truth.

    {"format": "dfmamba joints", "version": 1, "protocol": "interhand26m", "unit": "mm",
     "frame": "camera: x right, y down, z forward", "joints": ["right_thumb4", ...],
     "samples": [{"id": 17, "joints": [[x, y, z], ...], ...}, ...]}

Ground truth adds `valid` (0 and 1, one for each joint). What else a sample may hold, each data set says in its
`results.py`. Ids are those of the data set's annotations.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.protocol import JointTable, stack_fields
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.io.json_files import read_json
from dfmamba.io.json_values import mask_of, numbers_of, shrink
from dfmamba.io.record_errors import place_error
from dfmamba.io.text_lines import check_unique

FORMAT, VERSION = "dfmamba joints", 1
HEADER = {"format": FORMAT, "version": VERSION, "unit": "mm", "frame": "camera: x right, y down, z forward"}
Fields = dict[str, NDArray[Any]]


def is_joints_json(path: str | Path) -> bool:
    """Say whether a file begins as ours do; false for a folder."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return FORMAT.encode() in file.read(200)


def joints_and_valid(
    path: Path, place: str, sample: dict[str, Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the joints (count, 3) of a sample, and which are valid (count,): all, if it does not say."""
    joints = numbers_of(path, place, "joints", sample.get("joints"), (count, 3))
    if "valid" not in sample:
        return joints, np.ones(count, dtype=bool)
    return joints, mask_of(path, place, "valid", sample["valid"], (count,))


def read_joints(
    path: Path, place: str, sample: dict[str, Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Fields]:
    """Return the joints (count, 3) of a sample, which are valid (count,), and nothing else."""
    return *joints_and_valid(path, place, sample, count), {}


def write_joints(joints: NDArray[np.floating], valid: NDArray[np.bool_], fields: Fields, gt: bool) -> dict[str, Any]:
    """Return a sample for JSON, in mm with four digits after the point; of ground truth with the valid joints."""
    return ({"valid": valid.astype(int).tolist()} if gt else {}) | {"joints": joints.round(4).tolist()}


@dataclass(frozen=True)
class JointsJSON:
    """The form of one data set.

    Attributes:
        protocol: Name of the data set.
        joint_names: Of a sample's joints, in order.
        read_sample: From path, place in the file (for messages), entry and number of joints to the joints (J, 3) and
            validity (J,) in the skeleton of the protocol, and the fields of `JointTable`.
        write_sample: From joints (J, 3), validity (J,), fields, and whether it is ground truth to an entry without id.
    """

    protocol: str
    joint_names: tuple[str, ...]
    read_sample: Callable[[Path, str, dict[str, Any], int], tuple[NDArray[np.float64], NDArray[np.bool_], Fields]] = (
        read_joints
    )
    write_sample: Callable[[NDArray[np.floating], NDArray[np.bool_], Fields, bool], dict[str, Any]] = write_joints

    def read(self, path: str | Path) -> JointTable:
        """Read a file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not complete, of another format, protocol, unit or joint order; a sample lacks
                something, has other numbers of joints or numbers that are not finite; or an id occurs twice.
        """
        path = Path(path)
        content = read_json(path, object_hook=lambda record: shrink(record, "joints"))
        self._check_header(path, content)
        seen: dict[int | str, str] = {}
        joints, valid, fields = [], [], []
        for number, sample in enumerate(content["samples"]):
            place = f"sample number {number}"
            if not isinstance(sample, dict) or type(sample.get("id")) not in (int, str):  # True is an int, too
                raise place_error(path, place, "a dictionary with an 'id', number or text", str(sample)[:100])
            check_unique(path, place, sample["id"], seen)
            entries = self.read_sample(path, f"sample {sample['id']!r}", sample, len(self.joint_names))
            joints.append(entries[0])
            valid.append(entries[1])
            fields.append(entries[2])
        return JointTable(list(seen), np.array(joints), np.array(valid), stack_fields(fields), source=str(path))

    def _check_header(self, path: Path, content: Any) -> None:
        """Refuse what is not a file of this form."""
        if not isinstance(content, dict):
            raise place_error(path, "-", "a dictionary", f"a {type(content).__name__}")
        for key, value in {**HEADER, "protocol": self.protocol, "joints": list(self.joint_names)}.items():
            got = content.get(key)
            if isinstance(got, np.ndarray) or got != value:
                raise place_error(path, "-", f"{key!r} {value!r}", repr(got)[:300])
        if not isinstance(content.get("samples"), list) or not content["samples"]:
            raise place_error(path, "-", "a list 'samples' that is not empty", str(content.get("samples"))[:100])

    def write(self, path: str | Path, table: JointTable, *, gt: bool = False) -> None:
        """Write a file, one sample a line; ground truth with what only ground truth has."""
        header = {**HEADER, "protocol": self.protocol, "joints": self.joint_names}
        with Path(path).open("w", encoding="utf-8") as file:
            file.write(json.dumps(header)[:-1] + ', "samples": [\n')
            for row, identity in enumerate(table.ids):
                fields = {name: values[row] for name, values in table.fields.items()}
                entry = self.write_sample(table.joints_mm[row], table.valid[row], fields, gt)
                file.write(json.dumps({"id": identity, **entry}, allow_nan=False))
                file.write(",\n" if row + 1 < len(table.ids) else "\n")
            file.write("]}\n")

    def results(self) -> ResultFiles:
        """Return this form as the result files of a data set; ground truth is read from files in it, too."""
        return ResultFiles(read=self.read, write=self.write, read_annotations=lambda path: None)
