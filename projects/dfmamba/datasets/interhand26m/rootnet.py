"""Result files of RootNet for InterHand2.6M: boxes and the depths of the wrists.

Facts: an excerpt of the official file. Its boxes are made from the annotated ones; only the depths are predictions.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.validation import Fact, box_fact, first_of_each, in_float32, keep_sound
from dfmamba.io.files import get_array, get_integer
from dfmamba.io.json_files import read_json
from dfmamba.io.record_errors import record_error

PARSER_VERSION = 2  # another number makes old indices useless
ROOTNET_ENLARGEMENT = 1.25  # RootNet's boxes come after InterNet's crop rule: already square, already enlarged by this


def parse_rootnet(path: str | Path, record_errors: RecordErrorPolicy | None = None) -> AnnotationColumns:
    """Read a file of RootNet's results.

    Columns, sorted by `annotation_id` (M,): `bbox_xywh` (M, 4) float32, px, without RootNet's enlargement, and
    `abs_depth_mm` (M, 2) float32, [right, left].

    Raises:
        ValueError: The file is cut short, or a result is faulty: its box has no area, a depth is not finite, or its
            annotation has one already.
    """
    path, record_errors = Path(path), record_errors or RecordErrorPolicy()
    results = read_json(path)
    if not isinstance(results, list):
        raise record_error(path, "-", "a list of results", f"a {type(results).__name__}")
    rows = []
    for number, result in enumerate(results):
        try:
            record = get_integer(path, f"(number {number})", result, "annot_id")
            box = get_array(path, record, result, "bbox", (4,))
            depth = get_array(path, record, result, "abs_depth", (2,))
            rows.append((record, box, depth))
        except ValueError as error:
            record_errors.add(error)
    rows.sort(key=lambda row: row[0])
    ids = np.array([record for record, _, _ in rows], dtype=np.int64)
    boxes = np.array([box for _, box, _ in rows]).reshape(-1, 4)
    depths = np.array([depth for _, _, depth in rows]).reshape(-1, 2)
    sound = keep_sound(
        ids,
        [
            box_fact(path, boxes),
            Fact(
                path,
                "finite depths in 'abs_depth'",
                np.all(np.isfinite(in_float32(depths)), axis=1),
                lambda row: depths[row].tolist(),
            ),
            first_of_each(path, "annot_id", ids),
        ],
        record_errors,
        Counter(),
    )
    ids, boxes, depths = ids[sound], boxes[sound], depths[sound]
    center, size = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] / ROOTNET_ENLARGEMENT
    columns: dict[str, NDArray[Any]] = {
        "annotation_id": ids,
        "bbox_xywh": np.concatenate([center - size / 2, size], axis=1).astype(np.float32),
        "abs_depth_mm": depths.astype(np.float32),
    }
    return AnnotationColumns(columns, record_errors.skipped)
