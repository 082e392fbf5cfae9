"""Config files with strict `--cfg-options` and with checked type and keyword names."""

import ast
import difflib
import importlib
import importlib.util
import inspect
import math
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.registered import (
    did_you_mean,
    find_registered,
    nearest,
    prints_to_stderr,
    registered,
    wrong_keyword,
)

# Top-level keys that mmengine reads. Any other is a helper variable of the config file.
RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    "custom_imports",
    "runner_type",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "sync_bn",
} - {"self", "cfg"}
# Keywords that a builder of mmengine takes out before it calls the class.
BUILDER_KEYWORDS = {
    Hook: {"priority"},
    OptimWrapper: {"constructor", "paramwise_cfg"},
    _ParamScheduler: {"convert_to_iter_based", "epoch_length"},
}
DATALOADER_KEYWORDS = {"num_batch_per_epoch", "disable_subprocess_warning"}
# Small dicts that a factory function takes apart: their type is checked, their other keys are that function's affair.
FACTORY_KEYS = {
    "init_cfg",
    "norm_cfg",
    "act_cfg",
    "conv_cfg",
    "upsample_cfg",
    "padding_cfg",
    "collate_fn",
    "worker_init_fn",
}
PATH_KEYS = ("root", "dir", "file", "path", "from")  # keys that end so name files: digits are a name there
# What lies below does not concern the registries: `type` is data there, or names something of another library.
FREE_KEYS = {"metainfo", "init_kwargs", "nms"}
FREE_TYPES = {"Albumentation"}


def load_config(path: str | os.PathLike, cfg_options: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """Read a config file, apply options, and check every type and keyword name.

    Args:
        path: The config file.
        cfg_options: `KEY=VALUE` strings as on the command line, or a dict from dotted key to value. A key is a path
            such as `model.backbone.depth` or `train_dataloader.dataset.pipeline.2.prob`; it must exist, or be a
            keyword of the class that it is given to. `+KEY=VALUE` adds a key that is neither.
            A helper variable of the file, such as `data_root`, sets all keys of its name that have its value.

    Raises:
        FileNotFoundError: There is no such file; the message names the nearest ones.
        ConfigError: The file cannot be read, or an option, a type name or a keyword is unknown.
    """
    try:
        config = _read(Path(path))
        merge_options(
            config, cfg_options if isinstance(cfg_options, Mapping) else parse_options(cfg_options, flatten(config))
        )
        check_types(config)
    except ModuleNotFoundError as error:
        if error.name:
            raise
        raise ConfigError(f"{path}: {error}") from error  # mmengine's, of a config that imports its classes
    return config


def _read(path: Path) -> Config:
    if not path.is_file():
        _refuse_no_file(path)
    try:
        config = Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:  # a config is a program of the user's, which may raise anything
        raise ConfigError(f"{path}: cannot be read as a config: {_reason(error)}") from error
    _import_modules(path, config)
    return config


def _refuse_no_file(path: Path) -> NoReturn:
    if path.exists():
        raise ConfigError(f"{path}: expected a config file, got {'a folder' if path.is_dir() else 'no regular file'}")
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    files = {str(file.relative_to(folder)) for file in folder.rglob("*.py")} if folder.name else set()
    suggestions = [os.path.relpath(folder / name) for name in nearest(path.name, files)]
    raise FileNotFoundError(f"no config file {path.absolute()}.{did_you_mean(suggestions)}")


def _reason(error: Exception) -> str:
    """Say why mmengine cannot read a config."""
    if isinstance(error, FileNotFoundError):  # the file itself is there
        missing = re.search(r"""['"](.*)['"]""", str(error))
        name = missing[1] if missing else error
        return (
            f"it, or a config that it inherits, names {name} in _base_, and there is no such file. Paths in _base_ "
            "are relative to the config: keep it in the folder that it was written for, or name its bases by "
            "absolute paths."
        )
    if isinstance(error, ModuleNotFoundError):  # of a package whose configs it inherits, as in mmdet::
        return f"{error}. Run `make setup`, or install it; `tools/env_check.py` says what else is missing."
    if isinstance(error, UnicodeDecodeError) or "null bytes" in str(error):
        return "expected a text file in UTF-8, got other bytes. Is it a checkpoint, or saved in another encoding?"
    if isinstance(error, SyntaxError):
        return (f"line {error.lineno}: " if error.lineno else "") + f"{error.msg}: {(error.text or '').strip()}"
    if isinstance(error, RecursionError):
        return "_base_ goes in a circle, or the file nests too deep"
    ran = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    where = f"line {ran[-1].lineno} of {Path(ran[-1].filename).name}: " if ran else ""
    return f"{where}{type(error).__name__}: {' '.join(str(error).split())}"


def _import_modules(path: Path, config: Config) -> None:
    """Import what `custom_imports` names, as mmengine does; an error inside a module that is there keeps its type."""
    wanted = config.get("custom_imports")
    if not wanted:
        return
    names = wanted.get("imports") if isinstance(wanted, dict) else None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: custom_imports: expected dict(imports=['package.module']), got {wanted!r}")
    for name in names:
        try:
            with prints_to_stderr():
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            if missing.split(".")[0] == "dfmamba" and name != missing and not name.startswith(f"{missing}."):
                raise  # a module of ours names another one that is not there
            if not wanted.get("allow_failed_imports"):
                what = "" if missing == name else f", for it needs {missing}"
                is_installed = missing != name.split(".")[0] and importlib.util.find_spec(name.split(".")[0])
                where = (
                    "Run `make setup`, or install it; `tools/env_check.py` says what else is missing"
                    if is_installed
                    else "A module of your own must lie in a folder that PYTHONPATH names"
                )
                raise ConfigError(
                    f"{path}: custom_imports: cannot import {name}{what}, which is not there. {where}."
                ) from error


def parse_options(pairs: Sequence[str], known: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Turn `KEY=VALUE` strings into a dict.

    Values are numbers, True, False, None, texts, `[a,b]` and `(a,b)` as in mmengine, and Python literals such as
    `{'type': 'Adam'}`. A text in quotes is taken as it stands. Commas outside brackets make a list where the key holds
    a list, or of numbers; in other texts they are part of it, as in the name of a folder.

    Args:
        pairs: The strings.
        known: What each dotted key holds now, see `flatten`.

    Raises:
        ConfigError: A string has no `=`, its brackets do not match, or a value is no literal, or NaN.
    """
    options = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"--cfg-options: expected KEY=VALUE, got '{pair}' (no spaces around the '=')")
        options[key] = _parse_value(key, text.strip(), known.get(key.lstrip("+")))
        if isinstance(options[key], float) and math.isnan(options[key]):
            raise ConfigError(f"--cfg-options: {key}: expected a value, got NaN")
    return options


def _parse_value(key: str, text: str, now: Any) -> Any:
    is_list = text[:1] + text[-1:] in ("[]", "()")
    if is_list or text[:1] == "{" or (text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            if not is_list:
                raise ConfigError(
                    f"--cfg-options: {key}: expected a Python literal, such as {{'type': 'Adam', 'lr': "
                    f"0.1}} in quotes of the shell, got {text}"
                ) from None
    if re.match(r"dict\(", text):
        raise ConfigError(
            f"--cfg-options: {key}: expected a dict as a literal, such as {{'type': 'Adam', 'lr': 0.1}} "
            f"in quotes of the shell, got {text}"
        )
    if isinstance(now, str) and (key.endswith(PATH_KEYS) or "," in text) and text != "None":
        return text
    is_balanced = text.count("[") == text.count("]") and text.count("(") == text.count(")")
    if is_list or ("," in text and (isinstance(now, list | tuple) or all(map(_is_number, text.split(","))))):
        if is_balanced:
            return DictAction._parse_iterable(text)  # which takes words without quotes
    elif is_balanced or text[:1] not in "[(":
        return DictAction._parse_int_float_bool(text) if text.isascii() else text
    raise ConfigError(f"--cfg-options: {key}: expected a list such as [a,b], got {text}")


def _is_number(text: str) -> bool:
    return isinstance(DictAction._parse_int_float_bool(text.strip()), int | float)


def merge_options(config: Config, options: Mapping[str, Any]) -> None:
    """Set options in a config, in place; see `load_config` for the keys.

    Raises:
        ConfigError: A key does not exist and is no keyword of the class that it is given to.
    """
    for key, value in options.items():
        if key.startswith("+"):
            places = [key[1:]]
        else:
            _check_option(config, key, value)
            is_variable = key.split(".")[0] in config and key.split(".")[0] not in RUNNER_KEYS
            places = [key, *_places_of_variable(config, key)] if is_variable else [key]
        try:
            config.merge_from_dict(dict.fromkeys(places, value))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError, AssertionError) as error:
            raise ConfigError(f"--cfg-options: cannot set '{key}': {error}") from error


def _check_option(config: Config, key: str, value: Any) -> None:
    node: Any = config._cfg_dict
    parts = key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if isinstance(node, list | tuple):
            if not (part.isdigit() and int(part) < len(node)):
                raise ConfigError(
                    f"--cfg-options: unknown key '{key}': '{where}' is a list of {len(node)} entries, "
                    f"expected a number from 0 to {len(node) - 1}, got '{part}'."
                )
            node = node[int(part)]
        elif not isinstance(node, dict):
            raise ConfigError(
                f"--cfg-options: unknown key '{key}': '{where}' is the value {node!r}, it has no keys. "
                f"To replace it by a dict, write +{key}=..."
            )
        elif part in node:
            node = node[part]
        elif _takes_keyword(config, parts[:depth], node, part):
            return
        else:
            _refuse_unknown(config, key, where, part, node)
    if isinstance(node, dict) and not isinstance(value, dict | None):
        keys = ", ".join(list(node)[:8])
        raise ConfigError(f"--cfg-options: '{key}' holds the keys {keys}; expected {key}.SOMETHING=..., got {value!r}")


def _takes_keyword(config: Config, path: list[str], node: dict, keyword: str) -> bool:
    """Say whether a key that a dict does not have would be understood in it."""
    if not path:
        return keyword in RUNNER_KEYS
    targets = _targets(config, path, node)
    return bool(targets) and _wrong_keyword(keyword, targets) is None


def _refuse_unknown(config: Config, key: str, where: str, part: str, node: dict) -> None:
    prefix = where + "." if where else ""
    targets = _targets(config, where.split("."), node) if where else []
    siblings = set(node) | (RUNNER_KEYS if not where else set())
    names = nearest(part, siblings) + (_wrong_keyword(part, targets) or [])
    rest = key[len(prefix + part) :]
    paths = set(flatten(config))
    suggestions = [prefix + name + (rest if prefix + name + rest in paths else "") for name in names]
    last = key.split(".")[-1]
    suggestions += sorted(path for path in paths if path.split(".")[-1] == last)
    suggestions += [
        path for path in difflib.get_close_matches(key, sorted(paths), n=2, cutoff=0.8) if not key.startswith(path)
    ]
    place = f"'{where}'" + (f" ({node['type']})" if "type" in node else "") if where else "the config"
    raise ConfigError(
        f"--cfg-options: unknown key '{key}': {place} has no '{part}'."
        f"{did_you_mean(list(dict.fromkeys(suggestions))[:4])} To add a key on purpose, write +{key}=..."
    )


def _places_of_variable(config: Config, key: str) -> list[str]:
    """Return the keys that a helper variable such as `data_root` went into while the file was read.

    Setting the variable itself afterwards would do nothing. Its places are those with its name and its value.

    Raises:
        ConfigError: There is none, or the value is also part of other settings, which then would keep the old one.
    """
    name, value = key.split(".")[-1], flatten(config).get(key)
    used = {path: other for path, other in flatten(config).items() if path.split(".")[0] in RUNNER_KEYS}
    places = [path for path, other in used.items() if path.split(".")[-1] == name and other == value]
    others = [
        path
        for path, other in used.items()
        if path not in places
        and other is not value
        and isinstance(value, str)
        and isinstance(other, str)
        and value
        and value in other
    ]
    if places and not others:
        return places
    same = places + others or [path for path, other in used.items() if other == value]
    shown = ", ".join(same[:8]) + (", ..." if len(same) > 8 else "")
    advice = f"Set it where its value is used: {shown}." if same else f"To set it anyway, write +{key}=..."
    raise ConfigError(
        f"--cfg-options: '{key}' is a helper variable of the config file; setting it would have no effect. {advice}"
    )


def flatten(config: Config) -> dict[str, Any]:
    """Return every key path of a config with its value; list entries are numbered: `pipeline.2.prob`."""
    return dict(_walk(config._cfg_dict, ""))


def _walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        items = [(str(name), child) for name, child in node.items()]
    else:
        items = [(str(index), child) for index, child in enumerate(node)]
    for name, child in items:
        yield prefix + name, child
        if isinstance(child, dict | list | tuple):
            yield from _walk(child, f"{prefix}{name}.")


def check_types(config: Config) -> None:
    """Check that every `type` in a config is registered, and that its class takes the keywords beside it.

    Raises:
        ConfigError: Names all wrong ones, each with its path in the config and the nearest right names.
    """
    problems: list[str] = []
    for key, value in config.items():
        if key in RUNNER_KEYS:
            problems += _check_node(config, [key], value)
        elif close := difflib.get_close_matches(key, RUNNER_KEYS, n=1, cutoff=0.9):
            problems.append(f"{key}: mmengine does not read this key.{did_you_mean(close)}")
    if problems:
        raise ConfigError("\n".join([f"{config.filename or 'config'}:", *(f"  {problem}" for problem in problems)]))


def _check_node(config: Config, path: list[str], node: Any) -> Iterator[str]:
    """Yield what is wrong in one value of the config and in those below it."""
    if isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _check_node(config, [*path, str(index)], child)
    if not isinstance(node, dict) or path[-1] in FREE_KEYS:
        return
    where, name = ".".join(path), node.get("type")
    targets = _targets(config, path, node)
    if isinstance(name, str) and not targets:
        yield f"{where}.type: {_not_registered(name, _scope(config))}"
    elif targets and path[-1] not in FACTORY_KEYS:
        for keyword in node:
            suggestions = _wrong_keyword(keyword, targets)
            if suggestions is not None:
                yield (
                    f"{where}: {name or targets[0].__name__} takes no keyword '{keyword}'.{did_you_mean(suggestions)}"
                )
    if name not in FREE_TYPES:
        for key, child in node.items():
            yield from _check_node(config, [*path, str(key)], child)


def _not_registered(name: str, scope: str) -> str:
    package = name.split(".")[0]
    if "." in name and importlib.util.find_spec(package) is None:
        return f"'{name}' needs the package {package}, which is not installed."
    known = set(registered(scope))
    return f"nothing is registered as '{name}' in {scope} or mmengine.{did_you_mean(nearest(name, known))}"


def _scope(config: Config) -> str:
    return config.get("default_scope") or "mmengine"


def _targets(config: Config, path: list[str], node: dict) -> list[Any]:
    """Return the classes that a dict of the config may be given to, by its `type` or by its place."""
    name = node.get("type")
    if isinstance(name, str):
        return find_registered(name, node.get("_scope_") or _scope(config))
    if name is not None:
        return [name] if callable(name) else []
    place = ".".join(path)
    if place.endswith("_dataloader") and len(path) == 1:
        return [DataLoader]
    train_loop = EpochBasedTrainLoop if node.get("by_epoch", True) else IterBasedTrainLoop
    by_place = {
        "train_cfg": train_loop,
        "val_cfg": ValLoop,
        "test_cfg": TestLoop,
        "optim_wrapper": OptimWrapper,
        "log_processor": LogProcessor,
        "randomness": Runner.set_randomness,
    }
    return [by_place[place]] if place in by_place else []


def _wrong_keyword(keyword: str, targets: list[Any]) -> list[str] | None:
    """Like `wrong_keyword`, with the keywords that mmengine's builders take out first."""
    allowed = {"type", "_scope_"}
    for target in targets:
        if target in (EpochBasedTrainLoop, IterBasedTrainLoop):
            allowed.add("by_epoch")
        if target is DataLoader:
            allowed |= DATALOADER_KEYWORDS
        for base, extra in BUILDER_KEYWORDS.items():
            if inspect.isclass(target) and issubclass(target, base):
                allowed |= extra
    return None if keyword in allowed else wrong_keyword(keyword, targets)
