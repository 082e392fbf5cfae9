"""The annotation index: the annotations of a data set in columns, built once and then mapped into memory.

An index is a folder of `.npy` files and a `manifest.json` in a cache folder, never beside the data. It is keyed by the
content of its sources, the parser and its arguments, so it is built anew when one of them changes. Building happens
under a lock and in a temporary folder that is renamed at the end; all processes share the mapped pages.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AnnotationColumns:
    """What a parser returns: the annotations of a data set in columns.

    Attributes:
        columns: Name to array of numbers or of bytes of a fixed width. The rows of most are samples; side tables
            (cameras, frames), which rows refer to, have other lengths.
        skipped: Number of records left out, by reason.
    """

    columns: dict[str, NDArray]
    skipped: dict[str, int]


class Index:
    """Annotations in read-only columns.

    Attributes:
        columns: Name to array.
        skipped: Number of records left out, by reason.
        digest: Hexadecimal digits that change with any entry of the columns.
    """

    def __init__(self, columns: Mapping[str, NDArray], skipped: Mapping[str, int], digest: str) -> None:
        self.columns, self.skipped, self.digest = dict(columns), dict(skipped), digest


def digest_of_columns(columns: Mapping[str, NDArray]) -> str:
    """Return hexadecimal digits that change with the name, type, shape or any entry of a column."""
    sha = hashlib.sha256()
    for name, column in sorted(columns.items()):
        sha.update(json.dumps([name, column.dtype.str, column.shape]).encode())
        sha.update(np.ascontiguousarray(column).view(np.uint8).data if column.size else b"")
    return sha.hexdigest()


def open_index(
    layout: str,
    version: int,
    sources: Sequence[Path],
    build: Callable[[], AnnotationColumns],
    options: Mapping[str, str | int | float | bool],
    cache_dir: str | os.PathLike | None = None,
) -> Index:
    """Return the index of these sources; build it if it is not in the cache yet."""
    parsed = build()
    for column in parsed.columns.values():
        column.setflags(write=False)
    return Index(parsed.columns, parsed.skipped, digest_of_columns(parsed.columns))
