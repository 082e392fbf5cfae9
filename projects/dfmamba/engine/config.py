"""Config files with strict `--cfg-options` and with checked type and keyword names."""

import difflib
import importlib.util
import inspect
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.registered import did_you_mean, find_registered, nearest, registered, wrong_keyword

# Top-level keys that mmengine reads. Any other is a helper variable of the config file.
RUNNER_KEYS = {*inspect.signature(Runner.__init__).parameters, "custom_imports", "runner_type",
               "find_unused_parameters", "model_wrapper_cfg", "sync_bn"} - {"self", "cfg"}
# Keywords that a builder of mmengine takes out before it calls the class.
BUILDER_KEYWORDS = {Hook: {"priority"}, OptimWrapper: {"constructor", "paramwise_cfg"},
                    _ParamScheduler: {"convert_to_iter_based", "epoch_length"}}
DATALOADER_KEYWORDS = {"num_batch_per_epoch", "disable_subprocess_warning"}
# Small dicts that a factory function takes apart: their type is checked, their other keys are that function's affair.
FACTORY_KEYS = {"init_cfg", "norm_cfg", "act_cfg", "conv_cfg", "upsample_cfg", "padding_cfg", "collate_fn",
                "worker_init_fn"}
# What lies below is no affair of the registries: `type` is data there, or names a class or function of another library.
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
    config = _read(Path(path))
    options = cfg_options if isinstance(cfg_options, Mapping) else parse_options(cfg_options)
    merge_options(config, options)
    check_types(config)
    return config


def _read(path: Path) -> Config:
    if not path.is_file():
        folder = next(parent for parent in path.absolute().parents if parent.is_dir())
        files = {str(file.relative_to(folder)) for file in folder.rglob("*.py")} if folder.name else set()
        suggestions = [os.path.relpath(folder / name) for name in nearest(path.name, files)]
        raise FileNotFoundError(f"no config file {path.absolute()}.{did_you_mean(suggestions)}")
    try:
        return Config.fromfile(str(path))
    except (SyntaxError, KeyError, TypeError, ImportError, NameError) as error:
        raise ConfigError(f"{path}: cannot be read as a config: {type(error).__name__}: {error}") from error


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn `KEY=VALUE` strings into a dict; values as in mmengine: numbers, booleans, None, `[a,b]`, `(a,b)`, strings.

    Raises:
        ConfigError: A string has no `=`, or its brackets do not match.
    """
    for pair in pairs:
        if "=" not in pair.lstrip("="):
            raise ConfigError(f"--cfg-options: expected KEY=VALUE, got '{pair}' (no spaces around the '=')")
    namespace = Namespace(options=None)
    try:
        DictAction([], "options", nargs="+")(ArgumentParser(), namespace, list(pairs))
    except AssertionError as error:
        raise ConfigError(f"--cfg-options: {error}") from error
    return namespace.options


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
        except (KeyError, TypeError) as error:
            raise ConfigError(f"--cfg-options: cannot set '{key}': {error}") from error


def _check_option(config: Config, key: str, value: Any) -> None:
    node: Any = config._cfg_dict
    parts = key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if isinstance(node, list | tuple):
            if not (part.isdigit() and int(part) < len(node)):
                raise ConfigError(f"--cfg-options: unknown key '{key}': '{where}' is a list of {len(node)} entries, "
                                  f"expected a number from 0 to {len(node) - 1}, got '{part}'.")
            node = node[int(part)]
        elif not isinstance(node, dict):
            raise ConfigError(f"--cfg-options: unknown key '{key}': '{where}' is the value {node!r}, it has no keys. "
                              f"To replace it by a dict, write +{key}=...")
        elif part in node:
            node = node[part]
        elif _takes_keyword(config, parts[:depth], node, part):
            return
        else:
            _refuse_unknown(config, key, where, part, node)
    if isinstance(node, dict) and value is not None:
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
    rest = key[len(prefix + part):]
    paths = set(flatten(config))
    suggestions = [prefix + name + (rest if prefix + name + rest in paths else "") for name in names]
    last = key.split(".")[-1]
    suggestions += sorted(path for path in paths if path.split(".")[-1] == last)
    suggestions += [path for path in difflib.get_close_matches(key, sorted(paths), n=2, cutoff=0.8)
                    if not key.startswith(path)]
    place = f"'{where}'" + (f" ({node['type']})" if "type" in node else "") if where else "the config"
    raise ConfigError(f"--cfg-options: unknown key '{key}': {place} has no '{part}'."
                      f"{did_you_mean(list(dict.fromkeys(suggestions))[:4])} To add a key on purpose, write +{key}=...")


def _places_of_variable(config: Config, key: str) -> list[str]:
    """Return the keys that a helper variable such as `data_root` went into while the file was read.

    Setting the variable itself afterwards would do nothing. Its places are those with its name and its value.

    Raises:
        ConfigError: There is none, or the value is also part of other settings, which then would keep the old one.
    """
    name, value = key.split(".")[-1], flatten(config).get(key)
    used = {path: other for path, other in flatten(config).items() if path.split(".")[0] in RUNNER_KEYS}
    places = [path for path, other in used.items() if path.split(".")[-1] == name and other == value]
    others = [path for path, other in used.items() if path not in places and other is not value
              and isinstance(value, str) and isinstance(other, str) and value and value in other]
    if places and not others:
        return places
    same = places + others or [path for path, other in used.items() if other == value]
    shown = ", ".join(same[:8]) + (", ..." if len(same) > 8 else "")
    advice = f"Set it where its value is used: {shown}." if same else f"To set it anyway, write +{key}=..."
    raise ConfigError(f"--cfg-options: '{key}' is a helper variable of the config file; setting it would have no "
                      f"effect. {advice}")


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
                yield (f"{where}: {name or targets[0].__name__} takes no keyword '{keyword}'."
                       f"{did_you_mean(suggestions)}")
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
    by_place = {"train_cfg": train_loop, "val_cfg": ValLoop, "test_cfg": TestLoop, "optim_wrapper": OptimWrapper,
                "log_processor": LogProcessor, "randomness": Runner.set_randomness}
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
