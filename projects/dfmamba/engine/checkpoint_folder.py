"""The checkpoints of a work folder: which is the newest that is whole, which is the best."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import MMLogger

from dfmamba.engine.checkpoint_file import open_checkpoint
from dfmamba.engine.errors import ConfigError

POINTER = "last_checkpoint"  # mmengine's file: it holds the path of the last checkpoint
BEST_PREFIX = "best_"


@dataclass(frozen=True)
class _Found:
    path: Path
    training_id: str
    iteration: int
    modified_ns: int


def newest_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint to go on from, or None in a folder without any; the log says which, and what is damaged.

    Of the training that `last_checkpoint` names (where that is missing or damaged: that of the youngest file), it is
    the whole file that has come farthest. A kill may have come between the two writes, and other trainings may have
    left files in the same folder.

    Raises:
        ConfigError: `last_checkpoint` names a file outside of the folder, or none of the files is whole.
    """
    folder, logger = Path(folder), MMLogger.get_current_instance()
    named = _pointed_at(folder)
    found, damaged = [], []
    for path in sorted(folder.glob("*.pth")):
        if path.name.startswith(BEST_PREFIX):
            continue
        try:
            found.append(_look_at(path))
        except (ConfigError, OSError) as error:
            damaged.append(str(error))
            logger.warning(f"left alone: {error}")
    if not found:
        if damaged:
            raise ConfigError(f"{folder}: none of its {len(damaged)} checkpoints can be used, such as {damaged[0]}")
        return None
    anchor = next((one for one in found if one.path == named), max(found, key=lambda one: one.modified_ns))
    same = [one for one in found if one.training_id == anchor.training_id]
    newest = max(same, key=lambda one: (one.iteration, one.modified_ns))
    logger.info(f"going on from {newest.path}, iteration {newest.iteration}: the newest whole checkpoint")
    return newest.path


def _look_at(path: Path) -> _Found:
    """Return where a checkpoint is in which training.

    Raises:
        ConfigError: It is damaged, or no training's state.
    """
    content = open_checkpoint(path)
    meta = content.get("meta")
    if not isinstance(meta, dict) or not isinstance(meta.get("iter"), int) or "optimizer" not in content:
        raise ConfigError(f"{path}: holds no state of a training (no optimizer, or no meta.iter)")
    return _Found(path, str(meta.get("training_id", "")), meta["iter"], path.stat().st_mtime_ns)


def _pointed_at(folder: Path) -> Path | None:
    """Return the file that `last_checkpoint` names, if it is in the folder.

    Raises:
        ConfigError: It is elsewhere.
    """
    pointer = folder / POINTER
    text = pointer.read_text(encoding="utf-8", errors="replace").strip() if pointer.is_file() else ""
    if not text:
        return None
    named = Path(text)
    inside = folder / named.name
    if named.is_absolute() or named.parent != Path():  # as mmengine writes it: absolute, or relative to where it ran
        is_here = named.parent.resolve() == folder.resolve()
        if not is_here and (named.exists() or not inside.is_file()):
            raise ConfigError(
                f"{pointer}: names {text[:200]}, which is outside of its folder. Name the checkpoint "
                f"with --resume PATH if you mean it, or remove {pointer}."
            )
    return inside


def describe_checkpoints(folder: str | Path) -> str:
    """Return the best and the last checkpoint of a work folder, as text."""
    folder = Path(folder)
    best = sorted(folder.glob(f"{BEST_PREFIX}*.pth"), key=lambda path: path.stat().st_mtime_ns)
    pointer = folder / POINTER
    found = [f"best checkpoint: {best[-1]}"] if best else []
    if pointer.is_file():
        found.append(f"last checkpoint: {pointer.read_text(encoding='utf-8').strip()}")
    return "\n".join(found) or f"no checkpoint in {folder}"
