"""Between mmengine's objects and what a checkpoint may hold: tensors, numbers, texts, lists, tuples and dicts.

A loss history (`HistoryBuffer`) becomes a dict of two tensors, an array a tensor; loading turns them back.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

HISTORY_KEYS = {"history_values", "history_counts"}


def to_plain(value: Any) -> Any:
    """Return a nested value with tensors for arrays, and a dict of two tensors for each history buffer."""
    return map_nested(value, _flatten)


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    return map_nested(value, _restore)


def map_nested(value: Any, replace: Callable[[Any], Any]) -> Any:
    """Return a nested value with parts replaced; what `replace` returns as it was is entered if it is a container.

    A part that is named several times is turned once: nested references cost no more than their number.
    """
    done: dict[int, tuple[Any, Any]] = {}  # id: the part, which so stays alive, and what it became

    def turn(part: Any) -> Any:
        if id(part) not in done:
            new = replace(part)
            if new is part and isinstance(part, dict):
                new = {key: turn(child) for key, child in part.items()}
            elif new is part and isinstance(part, list | tuple):
                new = type(part)([turn(child) for child in part])
            done[id(part)] = part, new
        return done[id(part)][1]

    return turn(value)


def _flatten(value: Any) -> Any:
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {"history_values": torch.from_numpy(values.copy()), "history_counts": torch.from_numpy(counts.copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in "fiub" else value.tolist()
    return value


def _restore(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.cpu().numpy()
    if isinstance(value, dict) and set(value) == HISTORY_KEYS:
        return HistoryBuffer(*(_restore(value[key]) for key in ("history_values", "history_counts")))
    return value
