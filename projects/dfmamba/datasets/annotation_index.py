"""The annotation index: the annotations of a data set in columns, built once and then mapped into memory.

An index is a folder of `.npy` files and a `manifest.json` in a cache folder, never beside the data. It is keyed by the
content of its sources, the parser and its arguments, so it is rebuilt when one of them changes, and when it is damaged.
Building happens under a lock and in a temporary folder that is renamed at the end; all processes share the mapped
pages. `dfmamba.datasets.index_files` has the format.

The cache folder is the argument `cache_dir`, else the environment variable `DFMAMBA_CACHE_DIR`, else the user's cache
folder of the operating system. It may be deleted at any time.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout
from mmengine.logging import MMLogger
from numpy.typing import NDArray

from dfmamba.datasets.index_files import (
    FORMAT_VERSION,
    PLAIN_KINDS,
    Index,
    digest_of_columns,
    is_column_name,
    map_index,
    verify_index,
    write_index,
)
from dfmamba.datasets.source_digests import digest_sources

__all__ = ["AnnotationColumns", "Index", "cache_folder", "digest_of_columns", "map_index", "open_index", "verify_index"]


@dataclass(frozen=True)
class AnnotationColumns:
    """What a parser returns: the annotations of a data set in columns.

    Attributes:
        columns: Name to array of numbers or of bytes of a fixed width. The rows of most are samples; side tables
            (cameras, frames), which rows refer to, have other lengths.
        skipped: Number of records left out, by reason.

    Raises:
        TypeError: A column holds something else, or its name is not one of letters, digits and underscores.
    """

    columns: dict[str, NDArray[Any]]
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if not is_column_name(name):
                raise TypeError(f"column {name!r}: expected a name of letters, digits and underscores")
            if column.dtype.kind not in PLAIN_KINDS:
                raise TypeError(f"column {name!r}: expected numbers or bytes, got {column.dtype}")


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of all indices; the module's text says how it is chosen."""
    chosen = cache_dir or os.environ.get("DFMAMBA_CACHE_DIR") or platformdirs.user_cache_dir("dfmamba", appauthor=False)
    return Path(chosen).expanduser().absolute() / f"annotation_index_v{FORMAT_VERSION}"


def open_index(
    layout: str,
    version: int,
    sources: Sequence[Path],
    build: Callable[[], AnnotationColumns],
    options: Mapping[str, str | int | float | bool],
    cache_dir: str | os.PathLike[str] | None = None,
    verify: bool | None = None,
) -> Index:
    """Return the index of these sources; build it if it is not in the cache yet, or damaged there.

    Where the cache folder cannot be written, a warning is logged and the columns are held in memory.

    Args:
        layout: Name of the parser, also of a folder in the cache.
        version: Version of the parser.
        sources: Files whose content decides, or folders whose listing (names, sizes, times of change) does.
        build: Calls the parser.
        options: The arguments that change the columns.
        cache_dir: Folder of the cache, see the module's text.
        verify: Whether a stored index is compared with its checksums; by default if it is small, see `map_index`.

    Raises:
        ValueError: `build` raises it, or a source changes meanwhile.
    """
    folder, now_ns = cache_folder(cache_dir) / layout, time.time_ns()
    names = hashlib.sha256(json.dumps([str(source) for source in sources]).encode()).hexdigest()
    memory = folder / f"sources-{names[:16]}.json"
    digests = digest_sources(sources, memory, now_ns)
    settings = {
        "format": FORMAT_VERSION,
        "layout": layout,
        "version": version,
        "options": dict(sorted(options.items())),
    }
    key = hashlib.sha256(json.dumps([settings, digests]).encode()).hexdigest()[:32]
    place = folder / key
    if (index := _map_if_whole(place, verify)[0]) is not None:
        return index
    lock = _acquire(place)
    with lock or nullcontext():
        index, damage = _map_if_whole(place, verify)
        if index is not None:  # built by another process while we waited
            return index
        logger, start = MMLogger.get_current_instance(), time.monotonic()
        if damage:
            logger.warning(f"the annotation index {place} is damaged and is rebuilt: {damage}")
        logger.info(f"building the annotation index {layout}, later openings are fast: {_name_sources(sources)}")
        parsed = build()
        if digest_sources(sources, memory, now_ns) != digests:
            raise ValueError(
                f"{layout}: expected sources that stay as they are, but they changed while they were read:"
                f" {_name_sources(sources)}. Try again when they are complete."
            )
        index = Index(parsed.columns, parsed.skipped, digest_of_columns(parsed.columns))
        settings["sources"] = dict(zip(map(str, sources), digests, strict=True))
        if lock and (stored := _store(place, index, settings)) is not None:
            logger.info(f"annotation index {layout}: built in {time.monotonic() - start:.1f} s, {place}")
            index = stored
        index.replaced = damage
        return index


def _map_if_whole(place: Path, verify: bool | None) -> tuple[Index | None, str]:
    """Map a stored index; return None where there is none, or a damaged one, and what is wrong with the latter."""
    try:
        return map_index(place, verify), ""
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not place.exists():
            return None, ""
        return None, str(error)


def _acquire(place: Path) -> AbstractContextManager[object] | None:
    """Wait for the lock of an index, which a `with` frees; return None where the cache folder cannot be written.

    The latter is logged as a warning. The operating system frees the lock of a process that was killed.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{place}.lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            MMLogger.get_current_instance().info(f"another process builds the annotation index {place}; waiting for it")
            return lock.acquire()
    except (OSError, NotImplementedError) as error:
        _warn_about_cache(place, error)
        return None


def _store(place: Path, index: Index, settings: Mapping[str, Any]) -> Index | None:
    """Write an index, put it in place in one step, and map it; return None, with a warning, where that is impossible.

    What was written is compared with its checksums.
    """
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        _remove_leftovers(place)  # of a process that was killed: we have the lock
        temporary.mkdir()
        write_index(temporary, index.columns, {**settings, "skipped": index.skipped, "digest": index.digest})
        map_index(temporary, verify=True)
        if place.exists():  # damaged; who has mapped it keeps its files
            place.rename(place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp"))
        temporary.rename(place)
        return map_index(place, verify=False)
    except (OSError, ValueError) as error:
        _warn_about_cache(place, error)
        return None
    finally:
        _remove_leftovers(place)


def _remove_leftovers(place: Path) -> None:
    """Remove half an index, and one that was damaged."""
    for leftover in place.parent.glob(f"{place.name}.*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def _name_sources(sources: Sequence[Path], at_most: int = 5) -> str:
    """Name the first few sources: DexYCB has thousands."""
    more = [f"and {len(sources) - at_most} more"] if len(sources) > at_most else []
    return ", ".join([*map(str, sources[:at_most]), *more])


def _warn_about_cache(place: Path, error: Exception) -> None:
    MMLogger.get_current_instance().warning(
        f"the annotation index cannot be stored in {place.parent} ({error}): it is held in memory, and built again in "
        "every process. Name a folder that can be written with cache_dir or DFMAMBA_CACHE_DIR."
    )
