"""Checkpoints given on the command line: found, safe to open, and made for the model of the config."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import nn

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.registered import did_you_mean, nearest


def require_checkpoint(path: str) -> Path:
    """Return the path of an existing checkpoint.

    Raises:
        FileNotFoundError: There is none; the message names those beside it.
    """
    file = Path(path)
    if file.is_file():
        return file
    beside = {str(other) for other in file.parent.glob("*.pth")}
    suggestions = nearest(str(file), beside) or sorted(beside)[:3]
    raise FileNotFoundError(f"no checkpoint {file.absolute()}.{did_you_mean(suggestions)}")


def check_checkpoint(path: Path, model: nn.Module) -> None:
    """Check that a checkpoint holds every weight of a model; mmengine itself goes on with what fits.

    Args:
        path: The checkpoint, a state dict or a dict with `state_dict`.
        model: The model, not wrapped for distributed training.

    Raises:
        ConfigError: It is no checkpoint, opening it would run code, or weights are missing or have another shape.
    """
    try:
        with torch.serialization.safe_globals(get_torch_safe_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path}: not a checkpoint that torch.load(weights_only=True) opens: {reason}") from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    shapes = {name.removeprefix("module."): tuple(value.shape) for name, value in weights.items()
              if isinstance(value, torch.Tensor)}
    wrong = [f"{name} ({'missing' if name not in shapes else f'{shapes[name]} instead of {tuple(value.shape)}'})"
             for name, value in model.state_dict().items() if shapes.get(name) != tuple(value.shape)]
    if wrong:
        shown = ", ".join(wrong[:4]) + (", ..." if len(wrong) > 4 else "")
        raise ConfigError(f"{path}: {len(wrong)} of the model's {len(model.state_dict())} weights do not fit: {shown}. "
                          "Does the checkpoint belong to this config and these --cfg-options?")


def describe_checkpoints(work_dir: str | os.PathLike) -> str:
    """Return the best and the last checkpoint of a work folder, as text."""
    folder = Path(work_dir)
    best = sorted(folder.glob("best_*.pth"), key=lambda path: path.stat().st_mtime)
    pointer = folder / "last_checkpoint"
    found = [f"best checkpoint: {best[-1]}"] if best else []
    if pointer.is_file():
        found.append(f"last checkpoint: {pointer.read_text(encoding='utf-8').strip()}")
    return "\n".join(found) or f"no checkpoint in {folder}"
