"""COCO-style JSON files: a list of images and a list of annotations, both with ids."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.io.files import get_integer, get_key
from dfmamba.io.json_files import read_json
from dfmamba.io.record_errors import record_error

T = TypeVar("T")


def read_coco(
    path: Path, object_hook: Callable[[dict[str, Any]], Any], record_errors: RecordErrorPolicy
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return images and annotations of a file, each by its id.

    Args:
        path: The file.
        object_hook: See `read_json`.
        record_errors: What happens to entries without an id, and to those whose id was there before.

    Raises:
        ValueError: The file is no complete JSON, or has no such lists.
    """
    data = read_json(path, object_hook=object_hook)
    found = []
    for name in ("images", "annotations"):
        entries = get_key(path, "-", data, name)
        if not isinstance(entries, list):
            raise record_error(path, "-", f"a list for {name!r}", f"a {type(entries).__name__}")
        found.append(_entries_by_id(path, name.removesuffix("s"), entries, record_errors))
    return found[0], found[1]


def _entries_by_id(path: Path, what: str, entries: list[Any], record_errors: RecordErrorPolicy) -> dict[int, Any]:
    """Return entries by their `id`; `what` says what an entry is."""
    return by_id(
        path,
        f"{what} id",
        entries,
        record_errors,
        lambda number, entry: get_integer(path, f"({what} number {number})", entry, "id"),
    )


def by_id(
    path: Path, what: str, values: Iterable[T], record_errors: RecordErrorPolicy, id_of: Callable[[int, T], int]
) -> dict[int, T]:
    """Return values by their ids; of values with the same id only the first.

    Args:
        path: The file, for messages.
        what: What the ids are, for messages.
        values: The values.
        record_errors: What happens to values without an id, and to those whose id was there before.
        id_of: Gives the id of a value, from its position and itself; raises a ValueError where there is none.
    """
    found: dict[int, T] = {}
    for position, value in enumerate(values):
        try:
            number = id_of(position, value)
            if number in found:
                raise record_error(path, number, f"each {what} once", "it a second time")
            found[number] = value
        except ValueError as error:
            record_errors.add(error)
    return found
