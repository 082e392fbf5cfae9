"""Checkpoints from before parameters had the names of Mamba's and timm's code: their keys, renamed on loading."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

Value = TypeVar("Value")

# In a token block of a backbone or of a classifier, whatever stands in front of `stages`.
_IN_BLOCK = re.compile(r"((?:^|\.)stages\.\d+\.blocks\.\d+\.)(.+)")
_OLD_IN_BLOCK = (
    ("project_in.", "in_proj."),
    ("project_out.", "out_proj."),
    ("conv.conv.", "conv1d."),
    ("conv.", "conv2d."),
    ("ffn.0.", "norm2."),
    ("ffn.1.0.", "mlp.fc1."),
    ("ffn.1.2.", "mlp.fc2."),
    ("mixer.project_input.", "mixer.x_proj."),
    ("mixer.project_delta.", "mixer.dt_proj."),
    ("mixer.delta_bias", "mixer.dt_bias"),
    ("mixer.input_weight", "mixer.x_proj_weight"),
    ("mixer.delta_weight", "mixer.dt_proj_weight"),
    ("mixer.predict_offset.", "mixer.offset_proj."),
    ("mixer.predict_weight.", "mixer.weight_proj."),
)
_OLD_HEATMAP = re.compile(r"(^|\.)heat\.(?=\d)")  # DetNet's first branch, a Sequential


def rename_old_keys(state_dict: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return a state dictionary with today's keys: itself if it has no old ones, else a new one in the same order.

    Prefixes such as 'backbone.' and 'module.' stay as they are. For checkpoints of our models only: keys of others may
    look alike.
    """
    renamed = {key: _rename(key) for key in state_dict}
    if all(key == new for key, new in renamed.items()):
        return state_dict
    return {renamed[key]: value for key, value in state_dict.items()}


def _rename(key: str) -> str:
    match = _IN_BLOCK.search(key)
    if match is None:
        return _OLD_HEATMAP.sub(r"\1heatmap.", key)
    for old, new in _OLD_IN_BLOCK:
        if match[2].startswith(old):
            return key[: match.start(2)] + new + match[2].removeprefix(old)
    return key


def load_old_keys(module: nn.Module) -> None:
    """Have a module load checkpoints with old keys, wherever it stands in the model that loads them."""
    module.register_load_state_dict_pre_hook(_rename_before_loading)


def _rename_before_loading(_module: nn.Module, state_dict: dict[str, Any], *_: Any) -> None:
    """Rename the keys in place, as torch's hook asks for."""
    renamed = rename_old_keys(state_dict)
    if renamed is not state_dict:
        state_dict.clear()
        state_dict.update(renamed)
