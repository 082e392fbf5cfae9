"""How far values that others wrote may unfold: a few bytes can name 2^60 items that are one and the same.

Ten lists in lists, each of which names the one before it ten times, are 300 bytes of YAML, and 10^10 items for whoever
walks through them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from dfmamba.errors import DataError

T = TypeVar("T")
MAX_DEPTH = 32  # containers in containers; the deepest official file has 6
MAX_ITEMS = 50_000_000  # written out; all official files of RHD together have 2 million


class ContentError(DataError):
    """Says what a file holds that is not read, though the file may be whole."""


CONTAINERS = (list, tuple, set, frozenset, dict)


def check_expansion(value: Any, max_items: int = MAX_ITEMS) -> None:
    """Refuse a value of plain containers that is too large when each item counts as often as it is named.

    Each container is looked at once, so the time is that of the memory it really takes.

    Raises:
        ContentError: There are more than `max_items`, containers nested deeper than `MAX_DEPTH`, or one that contains
            itself.
    """
    items: dict[int, int] = {}  # of the containers that are done, by identity
    open_: set[int] = set()
    waiting: list[Any] = [value]
    while waiting:
        container = waiting[-1]
        if id(container) in items or not isinstance(container, CONTAINERS):
            waiting.pop()
        elif id(container) not in open_:
            open_.add(id(container))
            if len(open_) > MAX_DEPTH:
                raise ContentError(f"expected at most {MAX_DEPTH} containers in one another, got more")
            inner = [child for child in children_of(container) if isinstance(child, CONTAINERS)]
            if any(id(child) in open_ for child in inner):
                raise ContentError("expected plain data, got a container that contains itself")
            waiting += inner
        else:
            waiting.pop()
            open_.discard(id(container))
            total = sum(1 + items.get(id(child), 0) for child in children_of(container))
            if total > max_items:
                raise ContentError(
                    f"expected at most {max_items} items, got more: a few bytes name the same ones over and over"
                )
            items[id(container)] = total


def first_repeated(items: Iterable[T]) -> T | None:
    """Return the first item that was there before; None without any.

    >>> first_repeated("abcb")
    'b'
    """
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def children_of(container: Any) -> Iterable[Any]:
    """Return the items of a list, tuple or set; keys and values of a dictionary."""
    if isinstance(container, Mapping):
        return [*container.keys(), *container.values()]
    return container
