"""Opening checkpoint files: a file cannot run code, and a damaged file is never taken for a whole one.

A checkpoint is a pickle, and a pickle is a program. `open_checkpoint` lets it build tensors, numbers, texts and plain
containers and call nothing else. Files that mmengine itself wrote also name numpy's arrays, its own loss history and
`getattr`; for these names stand inert ones of ours, which keep the data and call nothing.

Importing this module makes it the loader of mmengine (`CheckpointLoader`), so that `--resume`, `load_from`,
`init_cfg=dict(type='Pretrained')` and every `init_model` of the OpenMMLab libraries load this way, too.
"""

import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import serialization

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.plain_values import map_nested, to_plain
from dfmamba.engine.registered import did_you_mean, nearest
from dfmamba.io.plain_pickle import PICKLED_TYPES, plain_globals

PARTS_WITH_OBJECTS = {"meta", "message_hub"}  # of a checkpoint; the others hold tensors and plain values
WAY_OUT = (
    "A checkpoint holds tensors and plain containers. If you trust whoever made the file, keep its weights "
    "alone: torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pth')"
)


class _History:
    """Stands for mmengine's `HistoryBuffer` while a file is read."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state) if isinstance(state, Mapping) else {}

    def to_buffer(self) -> HistoryBuffer:
        """Return the history as mmengine's object."""
        values, counts = (np.asarray(self.state.get(key, ())) for key in ("_log_history", "_count_history"))
        return HistoryBuffer(values, counts)


def _stand_ins() -> list[Any]:
    """Return what the names in files of mmengine stand for, built for each file."""
    named = {
        **plain_globals(),
        "mmengine.logging.history_buffer.HistoryBuffer": _History,
        "builtins.slice": lambda *parts: slice(*parts),
        "builtins.getattr": lambda *_: None,
    }  # a history names its methods with it; nothing is looked up
    named |= {name.replace("numpy._core", "numpy.core"): value for name, value in named.items()}
    named |= {f"{kind.__module__}.{kind.__qualname__}": kind for kind in PICKLED_TYPES}
    return [(value, name) for name, value in named.items()]


@contextmanager
def _only_stand_ins() -> Iterator[None]:
    """Let torch's reader know our stand-ins and nothing that others have allowed in this process."""
    allowed = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals(_stand_ins())
    try:
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(allowed)


def require_checkpoint(path: str) -> Path:
    """Return the path of an existing checkpoint.

    Raises:
        FileNotFoundError: There is none; the message names those beside it.
    """
    file = Path(path).expanduser()
    if file.is_file():
        return file
    beside = {str(other) for other in file.parent.glob("*.pth")}
    suggestions = nearest(str(file), beside) or sorted(beside)[:3]
    raise FileNotFoundError(f"no checkpoint {file.absolute()}.{did_you_mean(suggestions)}")


def open_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint file without running anything in it.

    Args:
        path: The file.
        map_location: Where tensors go, as for `torch.load`.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: It is not whole, names a class or function that is no plain data, or is no checkpoint.
    """
    path = require_checkpoint(str(path))
    _refuse_damaged_archive(path)
    return _without_stand_ins(_load(path, map_location), path)


def _load(path: Path, map_location: Any) -> Any:
    """Return what torch reads from a file, with stand-ins in it.

    Raises:
        ConfigError: See `open_checkpoint`.
    """
    try:
        with _only_stand_ins():
            return torch.load(path, map_location=map_location, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        if refused := _refused_name(path, str(error)):
            raise ConfigError(
                f"{path}: names {refused}, which is no plain data; nothing of the file was run. {WAY_OUT}"
            ) from error
        reason = re.sub(r"(?s).*WeightsUnpickler error: *|Please file an issue.*?: ", "", str(error)).strip()
        reason = reason[:100].splitlines()[0] if reason else "it ends early"
        raise ConfigError(
            f"{path}: not a whole checkpoint ({reason}). Was it cut short, or is it no file of torch.save?"
        ) from error


def _refused_name(path: Path, message: str) -> str | None:
    """Return the name that torch's reader refused, from its message, or from a plain pickle that it cannot read."""
    if named := re.search(r"GLOBAL (\S+)", message):
        return named[1]
    known = {name for _, name in _stand_ins()}
    texts: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if isinstance(argument, str):
                    texts.append(argument)
                name = {"GLOBAL": texts[-1:], "INST": texts[-1:], "STACK_GLOBAL": texts[-2:]}.get(opcode.name)
                if name and (full := ".".join(name).replace(" ", ".")) not in known:
                    return full
    except ValueError:
        pass  # no pickle
    return None


def _refuse_damaged_archive(path: Path) -> None:
    """Refuse a file that is empty or whose checksums are wrong; torch does not look at these.

    Raises:
        ConfigError: It is empty, or a checksum is wrong.
    """
    if path.stat().st_size == 0:
        raise ConfigError(f"{path}: not a whole checkpoint: the file is empty")
    if not zipfile.is_zipfile(path):  # written before torch 1.6, or cut short: `torch.load` tells them apart
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        damaged = str(error)
    if damaged is not None:
        raise ConfigError(f"{path}: not a whole checkpoint: its checksums are wrong ({damaged})")


def _without_stand_ins(content: Any, path: Path) -> dict[str, Any]:
    """Turn stand-ins into mmengine's and numpy's objects, and those into plain values.

    Raises:
        ConfigError: The content is no dict.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected a checkpoint, a dict with the weights, got a {type(content).__name__}")
    try:
        parts = {key: to_plain(map_nested(content[key], _real_object)) for key in PARTS_WITH_OBJECTS & set(content)}
    except (RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: not a checkpoint that can be read: {error}") from error
    return dict(content) | parts


def _real_object(value: Any) -> Any:
    if isinstance(value, _History):
        return value.to_buffer()
    return np.asarray(value) if isinstance(value, np.ndarray) else value


def _make_refusal(message: str) -> Any:
    """Return a loader for mmengine that refuses every address: the content cannot be had as a file."""

    def load(address: str, map_location: Any = None) -> Any:
        raise ConfigError(f"{address}: {message}")

    return load


def _load_local(path: str, map_location: Any = None) -> dict[str, Any]:
    return open_checkpoint(path, map_location)


def _load_url(url: str, map_location: Any = None) -> dict[str, Any]:
    """Fetch a file into torch's folder of checkpoints, unless it is there, and open it."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not file.exists() and is_main_process():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file))  # beside its place, then renamed
    barrier()
    return open_checkpoint(file, map_location)


def _load_named(address: str, map_location: Any = None) -> dict[str, Any]:
    """Open what `torchvision://NAME`, `open-mmlab://NAME` or `mmcls://NAME` stands for in mmengine's tables."""
    scheme, name = address.split("://", 1)
    tables = {
        "mmcls": mmengine_checkpoint.get_mmcls_models,
        "torchvision": mmengine_checkpoint.get_torchvision_models,
        "modelzoo": mmengine_checkpoint.get_torchvision_models,
    }
    urls = tables.get(scheme, mmengine_checkpoint.get_external_models)()
    if name not in urls:
        raise ConfigError(f"{address}: no such name in mmengine's tables.{did_you_mean(nearest(name, set(urls)))}")
    content = _load_url(urls[name], map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(content) if scheme == "mmcls" else content


def _become_mmengines_loader() -> None:
    CheckpointLoader.register_scheme("", _load_local, force=True)
    CheckpointLoader.register_scheme(["http://", "https://"], _load_url, force=True)
    CheckpointLoader.register_scheme(
        ["modelzoo://", "torchvision://", "open-mmlab://", "openmmlab://", "mmcls://"], _load_named, force=True
    )
    refuse = _make_refusal("expected a local file, or an address that begins with https://. Fetch the file first")
    CheckpointLoader.register_scheme(["pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"], refuse, force=True)


_become_mmengines_loader()
