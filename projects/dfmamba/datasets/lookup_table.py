"""A side table of an annotation index: what many records share (a frame, a camera), each once."""

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LookupTable:
    """Rows made one by one, at the first mention of their key.

    Args:
        make_row: Called as `make_row(record, *key)` for a new key; `record` is the record to name in errors.
    """

    def __init__(self, make_row: Callable[..., tuple[Any, ...]]) -> None:
        self.make_row = make_row
        self.index: dict[tuple[Hashable, ...], int] = {}
        self.rows: list[tuple[Any, ...]] = []

    def row_of(self, record: object, *key: Hashable) -> int:
        """Return the number of the row with this key; errors of `make_row` pass, and no row is made."""
        number = self.index.get(key)
        if number is None:
            self.rows.append(self.make_row(record, *key))
            number = self.index[key] = len(self.rows) - 1
        return number

    def column(self, number: int, *shape: int, dtype: Any = np.float64) -> NDArray[Any]:
        """Return one entry of all rows, (rows, *shape)."""
        return np.array([row[number] for row in self.rows], dtype=dtype).reshape(len(self.rows), *shape)
