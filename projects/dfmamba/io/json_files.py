"""JSON that others wrote, with Python's own reader: a key that comes twice in one dictionary is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from dfmamba.errors import DataError
from dfmamba.io.limits import ContentError, first_repeated
from dfmamba.io.record_errors import broken_file, require_file
from dfmamba.io.regular_files import open_text


class RepeatedKeyError(ContentError):
    """Says which key comes twice; readers would take the last one in silence."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dictionary of its items, for `object_pairs_hook` of Python's `json`.

    Raises:
        RepeatedKeyError: A key comes twice.
    """
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise RepeatedKeyError(f"the key {first_repeated(key for key, _ in pairs)!r} twice in one dictionary")
    return entries


def load_json(file: TextIO, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Read JSON; `object_hook` may replace each dictionary as soon as it is read.

    Raises:
        ValueError: It is not complete, valid JSON, or has a key twice in one dictionary.
        RecursionError: It is nested too deep.
    """
    if object_hook is None:
        return json.load(file, object_pairs_hook=unique_keys)
    return json.load(file, object_pairs_hook=lambda pairs: object_hook(unique_keys(pairs)))


def read_json(path: Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Read a JSON file; `object_hook` may replace each dictionary as soon as it is read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not complete, valid JSON, or has a key twice in one dictionary.
    """
    require_file(path)
    with open_text(path) as file:
        try:
            return load_json(file, object_hook)
        except RepeatedKeyError as error:
            raise DataError(f"{path}: expected each key once, got {error}") from error
        except DataError:  # of the hook
            raise
        except (ValueError, RecursionError) as error:  # JSON, UTF-8, or a number of more digits than Python takes
            raise broken_file(path, "a complete JSON file", error) from error
