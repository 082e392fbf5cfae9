"""Reading annotation files: errors that name the file and the record, and the counting of what is skipped."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_json(path: Path, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Read a JSON file; `object_hook` may replace each dictionary as soon as it is read.

    Raises:
        ValueError: The file is not complete, valid JSON.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_hook=object_hook)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a complete JSON file, got a fault: {error}. "
                         "Is the download cut short? Fetch the file again.") from error


def fault(path: Path, record: object, expected: str, got: object) -> ValueError:
    """Return the error for a faulty record of an annotation file."""
    return ValueError(f"{path}: record {record}: expected {expected}, got {got}")


def get_key(path: Path, record: object, mapping: Any, key: str, what: str = "the key") -> Any:
    """Return `mapping[key]`.

    Raises:
        ValueError: There is no such key, or `mapping` is no dictionary.
    """
    if isinstance(mapping, dict) and key in mapping:
        return mapping[key]
    there = f"the keys {list(mapping)[:10]}" if isinstance(mapping, dict) else f"a {type(mapping).__name__}"
    raise fault(path, record, f"{what} {key!r}", there)


def get_integer(path: Path, record: object, mapping: Any, key: str) -> int:
    """Return `mapping[key]` as an integer; digits in quotes will do.

    Raises:
        ValueError: There is no such key, or no integer.
    """
    value = get_key(path, record, mapping, key)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise fault(path, record, f"an integer for {key!r}", repr(value)) from None


def get_array(path: Path, record: object, mapping: Any, key: str, shape: tuple[int, ...],
              what: str = "the key") -> NDArray[np.float64]:
    """Return `mapping[key]` as numbers of the given shape; trailing axes of length 1 may come in addition.

    Raises:
        ValueError: There is no such key, or the shape is another one.
    """
    value = get_key(path, record, mapping, key, what)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise fault(path, record, f"numbers of shape {shape} for {key!r}", str(value)[:100]) from None
    if array.shape[: len(shape)] != shape or array.size != math.prod(shape):
        raise fault(path, record, f"numbers of shape {shape} for {key!r}", f"shape {array.shape}")
    return array.reshape(shape)


def check_boxes(path: Path, records: NDArray, boxes_xywh: NDArray) -> None:
    """Refuse boxes (N, 4) [x, y, w, h] without a positive area; `records` (N,) are named in the error.

    Raises:
        ValueError: A box is not finite, or has no area.
    """
    good = np.isfinite(boxes_xywh).all(axis=1) & (boxes_xywh[:, 2:] > 0).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise fault(path, records[row], "a 'bbox' [x, y, w, h] in px with positive w and h", boxes_xywh[row].tolist())


def describe_usage(name: str, used: int, skipped: Mapping[str, int]) -> str:
    """Say how many samples are used and how many are skipped for which reason, the most frequent first.

    >>> describe_usage("Set", 61153, {"no valid joint": 87, "root invalid": 300})
    'Set: 61153 used, 387 skipped: root invalid 300, no valid joint 87'
    """
    reasons = sorted(((count, reason) for reason, count in skipped.items() if count), reverse=True)
    text = f"{name}: {used} used, {sum(count for count, _ in reasons)} skipped"
    return text + (": " + ", ".join(f"{reason} {count}" for count, reason in reasons) if reasons else "")
