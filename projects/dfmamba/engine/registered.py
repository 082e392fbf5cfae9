"""What a `type` string of a config may name, and which keywords the named class takes."""

import difflib
import functools
import inspect
import itertools
import pydoc
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import Registry

MAX_SUGGESTIONS = 3


def nearest(word: str, known: set[str]) -> list[str]:
    """Return the known words most like a wrong one, the nearest first; upper and lower case count as the same."""
    by_lower: dict[str, list[str]] = {}
    for name in sorted(known):
        by_lower.setdefault(name.lower(), []).append(name)
    matches = difflib.get_close_matches(word.lower(), by_lower, n=MAX_SUGGESTIONS, cutoff=0.6)
    return [name for match in matches for name in by_lower[match]][:MAX_SUGGESTIONS]


def did_you_mean(suggestions: list[str]) -> str:
    """Return ` Did you mean a, b?`, or nothing when there is no suggestion."""
    return f" Did you mean {', '.join(suggestions)}?" if suggestions else ""


def _registries(scope: str) -> Iterator[Registry]:
    """Yield the registries of a package such as `mmpose`, filled, and the ones that they fall back on: mmengine's.

    mmengine has some that a package need not have, such as that of the functions.

    Raises:
        ModuleNotFoundError: There is no such package, or it has no registry.
    """
    packages = [import_module(f"{name}.registry") for name in dict.fromkeys((scope, "mmengine"))]
    for value in itertools.chain.from_iterable(vars(package).values() for package in packages):
        registry = value if isinstance(value, Registry) else None
        while registry is not None:
            _fill(registry)
            yield registry
            registry = registry.parent


def prints_to_stderr() -> redirect_stdout:
    """Return a context for imports: mmdet prints at import, and our tools' standard output is for results."""
    return redirect_stdout(sys.stderr)


@functools.cache
def _fill(registry: Registry) -> None:
    """Import the modules that register into a registry; warn, once, where a package cannot be imported."""
    try:
        with prints_to_stderr():
            registry.import_from_location()
    except ImportError as error:
        MMLogger.get_current_instance().warning(f"{registry.scope}'s {registry.name} registry is incomplete: {error}")


def registered(scope: str) -> dict[str, list[Any]]:
    """Return everything registered in a package's registries and their parents: name -> classes or functions.

    Several registries may know one name, such as an optimizer and a transform.
    """
    found: dict[str, list[Any]] = {}
    for registry in _registries(scope):
        for name, target in registry.module_dict.items():
            if not any(target is other for other in found.setdefault(name, [])):
                found[name].append(target)
    return found


def find_registered(name: str, default_scope: str) -> list[Any]:
    """Return the classes and functions that a config's `type` may mean: `Name`, `scope.Name` or `module.path.Name`.

    An empty list says that there is none.
    """
    found = registered(default_scope).get(name)
    if found or "." not in name:
        return found or []
    scope, real_name = name.split(".", 1)
    try:
        found = registered(scope).get(real_name)
    except ModuleNotFoundError:
        found = None
    located = None if found else pydoc.locate(name)
    return found or ([located] if located is not None else [])


def accepted_keywords(target: Callable) -> tuple[set[str], bool]:
    """Return the keywords that a class or function names, and whether it takes others, too.

    `**kwargs` of a constructor are followed to the next class in the method resolution order. They are open when the
    last constructor of that chain still has them, when a signature cannot be read, or when a class that gives them to
    something else says so with `OPEN_KEYWORDS = True`.
    """
    if not inspect.isclass(target):
        return _keywords(target)
    names: set[str] = set()
    for cls in target.__mro__[:-1]:
        if "__init__" in vars(cls):
            more, is_open = _keywords(vars(cls)["__init__"])
            names |= more - {"self"}
            if not is_open or vars(cls).get("OPEN_KEYWORDS"):
                return names, is_open
    return names, True


def _keywords(function: Callable) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set(), True
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if is_open and inspect.isfunction(function):
        # `kwargs.pop("name")` in the body is a keyword, too; such names are among the function's constants.
        names |= {c for c in function.__code__.co_consts if isinstance(c, str) and c.isidentifier()}
    return names, is_open


def wrong_keyword(keyword: str, targets: list[Callable]) -> list[str] | None:
    """Return None when one of the targets takes a keyword, else the nearest keywords that they do take.

    A target with open `**kwargs` takes every keyword that does not look like a slip of one that it names.
    """
    known: set[str] = set()
    for target in targets:
        names, is_open = accepted_keywords(target)
        looks_like_slip = bool(difflib.get_close_matches(keyword, names, n=1, cutoff=0.85))
        if keyword in names or (is_open and not looks_like_slip):
            return None
        known |= names
    return nearest(keyword, known)
