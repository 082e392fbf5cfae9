"""The settings of a training as plain text, and how those of a resumed one differ from before."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from dfmamba.engine.config import RUNNER_KEYS, flatten

# Changes of these say nothing about the training: where things lie, and what is shown.
UNSAID_KEYS = {
    "work_dir",
    "resume",
    "load_from",
    "launcher",
    "log_level",
    "vis_backends",
    "visualizer",
    "experiment_name",
    "custom_imports",
    "log_processor",
    "default_scope",
}
# A checkpoint brings these along with the state of the optimizer and of the schedules.
RESTORED_KEYS = ("optim_wrapper.optimizer.", "param_scheduler.", "randomness.seed")


def settings_of(config: Config) -> dict[str, str]:
    """Return the settings that a training depends on, dotted key to value as text."""
    return {
        key: repr(value)
        for key, value in flatten(config).items()
        if key.split(".")[0] in RUNNER_KEYS - UNSAID_KEYS and not isinstance(value, dict | list | tuple)
    }


def describe_changes(before: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Say which settings differ, and which of the two values holds in the resumed training."""
    lines = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, "nothing"), now.get(key, "nothing")
        if old != new:
            restored = key.startswith(RESTORED_KEYS) and "nothing" not in (old, new)
            lines.append(
                f"{key} was {old}, is {new} now: "
                + (f"{old} holds, it is part of the checkpoint's state" if restored else f"{new} holds")
            )
    return lines
