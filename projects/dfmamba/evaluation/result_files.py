"""The files in which people exchange the results on a data set: how they are read, written and told apart.

A data set says so in a `ResultFiles` (`results.py` in its folder). The readers refuse what is cut short, not finite, of
a wrong length or there twice, and name file and line or record. They give a `JointTable` and need numpy alone; readers
of annotation files load the parsers at their first use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfmamba.datasets.spec import data_set
from dfmamba.evaluation.protocol import JointTable


@dataclass(frozen=True)
class ResultFiles:
    """How results on a data set are exchanged.

    Attributes:
        read: Reads a file of predictions: `read(path, **options)`, with the `pred_options` of the spec.
        write: Writes one: `write(path, table)`.
        read_annotations: Reads the official annotation as ground truth: `read_annotations(path, **options)`, with its
            `gt_options`. None if the path is none, but a file in the format of the predictions.
        read_for: Reads predictions for a ground truth, `read_for(path, gt, **options)`, where how they are read depends
            on it.
    """

    read: Callable[..., JointTable]
    write: Callable[[Path, JointTable], None]
    read_annotations: Callable[..., JointTable | None]
    read_for: Callable[..., JointTable] | None = None

    def read_pred(self, path: str | Path, gt: JointTable, **options: Any) -> JointTable:
        """Read a file of predictions, to be scored against `gt`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is faulty, or an option does not fit it.
        """
        path = Path(path)
        return self.read_for(path, gt, **options) if self.read_for else self.read(path, **options)

    def read_gt(self, path: str | Path, **options: Any) -> JointTable:
        """Read ground truth: the data set's own annotation, or a file in the format of the predictions.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: A file is faulty, or has another name than the official one.
        """
        path = Path(path)
        table = self.read_annotations(path, **options)
        return self.read(path) if table is None else table

    def write_table(self, path: str | Path, table: JointTable) -> None:
        """Write predictions; missing folders are made.

        Raises:
            ValueError: A joint is not finite, or the format cannot hold the table.
        """
        broken = np.flatnonzero(~np.isfinite(table.joints_mm).all(axis=(1, 2)))
        if len(broken):
            raise ValueError(
                f"{path}: expected finite joints, got {len(broken)} samples with NaN or infinity, such as "
                f"{table.ids[broken[0]]!r}"
            )
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.write(Path(path), table)


def read_result_file(data_set_name: str, path: str | Path, **options: Any) -> JointTable:
    """Read a file of predictions on a data set; see its `results.py` for the options.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty.
    """
    return data_set(data_set_name).results.read(Path(path), **options)


def write_result_file(data_set_name: str, path: str | Path, table: JointTable) -> None:
    """Write predictions on a data set; see `ResultFiles.write_table`."""
    data_set(data_set_name).results.write_table(path, table)
