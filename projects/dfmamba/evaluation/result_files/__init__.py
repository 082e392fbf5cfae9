"""Result files: predictions (and labels) in the formats that people exchange, read into and written from `JointTable`.

    nyu             text, u v d of 14 joints a line (`nyu_text`)
    dexycb          text, image_id and 63 numbers a line (`dexycb_text`)
    assemblyhands   the JSON of the labels and of the HANDS challenge (`assemblyhands_json`)
    interhand26m    a JSON of ours (`joints_json`)
    rhp             a JSON of ours (`joints_json`)

The readers refuse whatever is cut short, not finite, of a wrong length, or twice there, and name file and line or
record. They need numpy alone.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dfmamba.evaluation.result_files.assemblyhands_json import read_assemblyhands_json, write_assemblyhands_json
from dfmamba.evaluation.result_files.dexycb_text import read_dexycb_text, write_dexycb_text
from dfmamba.evaluation.result_files.joints_json import is_joints_json, read_joints_json, write_joints_json
from dfmamba.evaluation.result_files.nyu_text import read_nyu_text, write_nyu_text
from dfmamba.evaluation.scores import JointTable

__all__ = [
    "is_joints_json",
    "read_assemblyhands_json",
    "read_dexycb_text",
    "read_joints_json",
    "read_nyu_text",
    "read_result_file",
    "write_assemblyhands_json",
    "write_dexycb_text",
    "write_joints_json",
    "write_nyu_text",
    "write_result_file",
]
READERS: dict[str, Callable[[str | Path], JointTable]] = {
    "nyu": read_nyu_text,
    "dexycb": read_dexycb_text,
    "assemblyhands": read_assemblyhands_json,
}
WRITERS = {"nyu": write_nyu_text, "dexycb": write_dexycb_text, "assemblyhands": write_assemblyhands_json}


def read_result_file(protocol: str, path: str | Path) -> JointTable:
    """Read a result file of a protocol, one of `PROTOCOLS`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty; see the readers.
    """
    return READERS[protocol](path) if protocol in READERS else read_joints_json(protocol, path)


def write_result_file(protocol: str, path: str | Path, table: JointTable) -> None:
    """Write predictions as a result file of a protocol; missing folders are made.

    Raises:
        ValueError: A joint is not finite; of NYU: not in front of the camera, or a frame is there twice.
    """
    broken = np.flatnonzero(~np.isfinite(table.joints_mm).all(axis=(1, 2)))
    if len(broken):
        raise ValueError(
            f"{path}: expected finite joints, got {len(broken)} samples with NaN or infinity, such as "
            f"{table.ids[broken[0]]!r}"
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if protocol in WRITERS:
        WRITERS[protocol](path, table)
    else:
        write_joints_json(protocol, path, table)
