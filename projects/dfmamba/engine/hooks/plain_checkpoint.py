"""Checkpoints that plain `torch.load(path)` opens (its default is `weights_only=True`), without mmengine's classes."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS

HISTORY_KEYS = {"history_values", "history_counts"}
PARTS = ("meta", "message_hub")


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Save only tensors, numbers, strings, lists and dicts; turn them back into mmengine's objects on loading.

    mmengine writes its loss history (`HistoryBuffer`) and NumPy arrays of the data set's metainfo into the checkpoint.
    """

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace history buffers and arrays in the checkpoint, in place."""
        for part in PARTS:
            checkpoint[part] = to_plain(checkpoint[part])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put history buffers and arrays back, in place; a bare state dict is left alone."""
        for part in PARTS:
            if part in checkpoint:
                checkpoint[part] = from_plain(checkpoint[part])


def to_plain(value: Any) -> Any:
    """Return a nested value with tensors for arrays, and a dict of two tensors for each history buffer."""
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {"history_values": torch.from_numpy(values.copy()), "history_counts": torch.from_numpy(counts.copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in "fiub" else value.tolist()
    if isinstance(value, dict):
        return {key: to_plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(child) for child in value)
    return value


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(value, torch.Tensor):
        return value.cpu().numpy()
    if isinstance(value, dict):
        children = {key: from_plain(child) for key, child in value.items()}
        if set(children) == HISTORY_KEYS:
            return HistoryBuffer(children["history_values"], children["history_counts"])
        return children
    if isinstance(value, list | tuple):
        return type(value)(from_plain(child) for child in value)
    return value
