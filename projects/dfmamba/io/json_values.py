"""Numbers and masks in JSON, with errors that name their place."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.io.numbers import NotNumbersError, plain_array
from dfmamba.io.record_errors import place_error


def shrink(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Turn the nested lists of an entry into an array, a tenth of their memory, as soon as they have been read."""
    if isinstance(record.get(key), list):
        with contextlib.suppress(NotNumbersError):  # reported with its sample, by numbers_of
            record[key] = plain_array(record[key])
    return record


def numbers_of(path: Path, place: object, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return finite numbers of a shape; trailing axes of length 1 may come in addition.

    Raises:
        DataError: They are not: see `plain_array`.
    """
    return _array_of(path, place, name, value, shape, "finite numbers")


def mask_of(path: Path, place: object, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of a shape from 0 and 1, or false and true.

    Raises:
        DataError: It holds something else.
    """
    array = _array_of(path, place, name, value, shape, "0 and 1", booleans=True)
    if not np.isin(array, (0, 1)).all():
        raise place_error(path, place, f"0 and 1 for {name!r}", f"{array[~np.isin(array, (0, 1))][0]:g}")
    return array > 0


def _array_of(
    path: Path, place: object, name: str, value: Any, shape: tuple[int, ...], what: str, *, booleans: bool = False
) -> NDArray[np.float64]:
    try:
        array = plain_array(value, booleans=booleans)
    except NotNumbersError as error:
        raise place_error(path, place, f"{what} of shape {shape} for {name!r}", error) from None
    if array.shape[: len(shape)] != shape or array.size != np.prod(shape):
        raise place_error(path, place, f"{what} of shape {shape} for {name!r}", f"shape {array.shape}")
    return array.reshape(shape)
