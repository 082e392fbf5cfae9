"""Reading JSON: what the readers of JSON formats share."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.result_files.text import fault


def read_json(path: Path, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Read a JSON file; a key that occurs twice in a dictionary is refused.

    Args:
        path: The file.
        object_hook: May replace each dictionary as soon as it is read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not complete, valid JSON, or has a key twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")

    def make(pairs: list[tuple[str, Any]]) -> Any:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise fault(path, repr(twice), "each key once", "it twice in one dictionary")
        return object_hook(entries) if object_hook else entries

    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_pairs_hook=make)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a complete JSON file, got a fault: {error}. Is it cut short?") from error


def shrink(record: dict, key: str) -> dict:
    """Turn the nested lists of an entry into an array, a tenth of their memory, as soon as they have been read."""
    if isinstance(record.get(key), list):
        with contextlib.suppress(TypeError, ValueError):  # ragged: reported with its sample, by numbers_of
            record[key] = np.array(record[key], dtype=np.float64)
    return record


def numbers_of(path: Path, place: object, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return finite numbers of a shape; trailing axes of length 1 may come in addition.

    Raises:
        ValueError: They are not.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise fault(path, place, f"numbers of shape {shape} for {name!r}", str(value)[:100]) from None
    if array.shape[: len(shape)] != shape or array.size != np.prod(shape):
        raise fault(path, place, f"numbers of shape {shape} for {name!r}", f"shape {array.shape}")
    if not np.isfinite(array).all():
        raise fault(path, place, f"finite numbers for {name!r}", f"{(~np.isfinite(array)).sum()} that are not")
    return array.reshape(shape)
