"""Which file of a config's inheritance chain, or which option, each of its values comes from.

mmengine merges the chain without a record, so the files are read again with mmengine's own parser and compared: a value
comes from the file in which it differs from all its bases. A file that only repeats its base's value does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from dfmamba.engine.config import RUNNER_KEYS, load_config
from dfmamba.engine.errors import ConfigError

COMMAND_LINE = "--cfg-options"


class Setting(NamedTuple):
    """One value of a config.

    Attributes:
        key: Dotted, as `--cfg-options` takes it; entries of a list of dicts are numbered.
        value: A number, text, list of these, or entry of a list of dicts.
        origin: Path of a config file, or `COMMAND_LINE`.
        is_read: Whether mmengine reads it; if not, it is a variable that the files use.
    """

    key: str
    value: Any
    origin: str
    is_read: bool


def settings_with_origin(path: str | Path, cfg_options: Sequence[str] = ()) -> list[Setting]:
    """Return all values of a config, after the options, and where they come from.

    Args:
        path: The config file.
        cfg_options: `KEY=VALUE` strings, see `load_config`.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: The config or an option is wrong, or the config inherits by `read_base()` and not by `_base_`.
    """
    effective = load_config(path, cfg_options)
    if Config._is_lazy_import(str(path)):
        raise ConfigError(f"{path}: expected a config that inherits by _base_ = [...], got one that uses read_base()")
    in_files = _origins(str(path))
    settings = []
    for key, value in _leaves(effective._cfg_dict):
        known, origin = in_files.get(key, (None, COMMAND_LINE))
        settings.append(Setting(key, value, origin if _same(value, known) else COMMAND_LINE, _root(key) in RUNNER_KEYS))
    return settings


def _origins(path: str) -> dict[str, tuple[Any, str]]:
    """Return the value and the origin of each key of a config file with its bases."""
    inherited: dict[str, tuple[Any, str]] = {}
    for name in Config._get_base_files(path):
        base, scope = Config._get_cfg_path(name, path)
        # A base of another package gets a `_scope_` in each dict, as when mmengine inherits it.
        scoped = dict(_leaves(Config._dict_to_config_dict(Config._file2dict(base)[0], scope)))
        origins = _origins(base)
        inherited |= {key: (value, origins[key][1] if key in origins else base) for key, value in scoped.items()}
    merged = _leaves(Config(Config._file2dict(path)[0])._cfg_dict)
    return {
        key: (value, inherited[key][1] if key in inherited and _same(value, inherited[key][0]) else path)
        for key, value in merged
    }


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a config; a list of dicts entry by entry, any other list as one value."""
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from _leaves(child, f"{prefix}{key}.")
    elif isinstance(node, list | tuple) and any(isinstance(entry, Mapping) for entry in node):
        for number, entry in enumerate(node):
            yield f"{prefix}{number}", entry
    else:
        yield prefix[:-1], node


def _same(one: Any, two: Any) -> bool:
    """Whether two values look the same; 1, 1.0 and True do not."""
    return repr(one) == repr(two)


def _root(key: str) -> str:
    return key.split(".")[0]


def format_settings(settings: Sequence[Setting]) -> str:
    """Lay settings out as `key = value  # origin`, one a line; variables of the files come last."""
    here = Path.cwd()

    def line(setting: Setting) -> str:
        origin = setting.origin
        if origin != COMMAND_LINE:
            absolute = Path(origin).resolve()
            origin = str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
        return f"{setting.key} = {setting.value!r}  # {origin}"

    lines = [line(setting) for setting in settings if setting.is_read]
    variables = [line(setting) for setting in settings if not setting.is_read]
    return "\n".join(
        lines + (["", "# Not read by mmengine: variables that the files use", *variables] if variables else [])
    )
