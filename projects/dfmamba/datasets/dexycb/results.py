"""DexYCB's result file: `image_id,x1,y1,z1,...,x21,y21,z21` a line, mm, camera frame, the wrist first.

The format of dex-ycb-toolkit's `hpe_eval`. The image id counts all images of a split, with a hand or without. In a
`JointTable` the joints are in canonical order.
"""

from pathlib import Path

import numpy as np

from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import ResultFiles
from dfmamba.io.record_errors import place_error
from dfmamba.io.text_lines import check_unique, parse_numbers, read_lines
from dfmamba.skeleton import FROM_DEXYCB, ONE_HAND, inverse

NUMBERS = 1 + 3 * ONE_HAND.num_joints


def read_dexycb_text(path: str | Path, root_relative: bool = False) -> JointTable:
    """Read a file; lines with -1 everywhere, DexYCB's mark for an image without a hand, are left out.

    Args:
        path: The file.
        root_relative: The joints are relative to the wrist, so the absolute numbers are left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line has more or fewer numbers, something that is no finite number, an id that is no whole number,
            or one that was there before.
    """
    path = Path(path)
    image_ids: dict[int | str, str] = {}
    kept, rows = [], []
    for line, text in read_lines(path):
        numbers = parse_numbers(path, line, text.split(","), NUMBERS)
        image_id = int(numbers[0])
        if image_id != numbers[0] or image_id < 0:
            raise place_error(path, f"line {line}", "a whole number, 0 or more, as image id", numbers[0])
        check_unique(path, f"line {line}", image_id, image_ids)
        if not (numbers[1:] == -1).all():
            kept.append(image_id)
            rows.append(numbers[1:].reshape(-1, 3)[list(FROM_DEXYCB)])
    joints = np.array(rows).reshape(-1, ONE_HAND.num_joints, 3)
    fields = {"root_relative": np.ones(len(kept), dtype=bool)} if root_relative else {}
    return JointTable(kept, joints, np.ones(joints.shape[:2], dtype=bool), fields, source=str(path))


def write_dexycb_text(path: str | Path, table: JointTable) -> None:
    """Write joints in canonical order and mm."""
    order = list(inverse(FROM_DEXYCB))
    with Path(path).open("w", encoding="utf-8") as file:
        for image_id, joints in zip(table.ids, table.joints_mm, strict=True):
            file.write(",".join([str(image_id), *(f"{value:.4f}" for value in joints[order].reshape(-1))]) + "\n")


def read_annotations(path: Path, setup: str = "s0", split: str = "test") -> JointTable | None:
    """Read a split from the folder of the data set; None for a file."""
    if not path.is_dir():
        return None
    from dfmamba.datasets.dexycb.ground_truth import read_dexycb_gt

    return read_dexycb_gt(path, setup, split)


RESULTS = ResultFiles(
    read=read_dexycb_text,
    write=write_dexycb_text,
    read_annotations=read_annotations,
)
