"""The annotation index: the annotations of a data set in columns, built once and then mapped into memory.

An index is a folder of `.npy` files and a `manifest.json` in a cache folder, never beside the data. It is keyed by the
content of its sources, the parser and its arguments, so it is built anew when one of them changes. Building happens
under a lock and in a temporary folder that is renamed at the end; all processes share the mapped pages.

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
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import AcquireReturnProxy, FileLock, Timeout
from mmengine.logging import MMLogger
from numpy.typing import NDArray

from dfmamba.datasets.source_digests import digest_sources

FORMAT_VERSION = 1  # of the files below; part of the folder's name
MANIFEST = "manifest.json"
PLAIN_KINDS = "biufS"  # numpy's kinds: bool, integers, floating point, bytes of a fixed width


@dataclass(frozen=True)
class AnnotationColumns:
    """What a parser returns: the annotations of a data set in columns.

    Attributes:
        columns: Name to array of numbers or of bytes of a fixed width. The rows of most are samples; side tables
            (cameras, frames), which rows refer to, have other lengths.
        skipped: Number of records left out, by reason.

    Raises:
        TypeError: A column holds something else.
    """

    columns: dict[str, NDArray]
    skipped: dict[str, int]

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if column.dtype.kind not in PLAIN_KINDS:
                raise TypeError(f"column {name!r}: expected numbers or bytes, got {column.dtype}")


class Index:
    """Annotations in read-only columns.

    A copy of a mapped index for another process (pickle) is only its the name of its folder, and is mapped anew there.

    Attributes:
        columns: Name to array.
        skipped: Number of records left out, by reason.
        digest: Hexadecimal digits that change with any entry of the columns.
        folder: Where the columns are mapped from; None if they are held in memory.
    """

    def __init__(self, columns: Mapping[str, NDArray], skipped: Mapping[str, int], digest: str,
                 folder: Path | None = None) -> None:
        self.columns, self.skipped, self.digest, self.folder = dict(columns), dict(skipped), digest, folder
        for column in self.columns.values():
            column.setflags(write=False)

    def __reduce__(self) -> tuple:
        if self.folder is not None:
            return map_index, (self.folder,)
        return Index, (self.columns, self.skipped, self.digest)


def digest_of_columns(columns: Mapping[str, NDArray]) -> str:
    """Return hexadecimal digits that change with the name, type, shape or any entry of a column."""
    sha = hashlib.sha256()
    for name, column in sorted(columns.items()):
        sha.update(json.dumps([name, column.dtype.str, column.shape]).encode())
        sha.update(np.ascontiguousarray(column).view(np.uint8).data if column.size else b"")
    return sha.hexdigest()


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder of all indices; the module's text says how it is chosen."""
    chosen = cache_dir or os.environ.get("DFMAMBA_CACHE_DIR") or platformdirs.user_cache_dir("dfmamba", appauthor=False)
    return Path(chosen).expanduser().absolute() / f"annotation_index_v{FORMAT_VERSION}"


def open_index(
    layout: str,
    version: int,
    sources: Sequence[Path],
    build: Callable[[], AnnotationColumns],
    options: Mapping[str, str | int | float | bool],
    cache_dir: str | os.PathLike | None = None,
) -> Index:
    """Return the index of these sources; build it if it is not in the cache yet, or damaged there.

    Where the cache folder cannot be written, a warning is logged and the columns are held in memory.

    Args:
        layout: Name of the parser, also of a folder in the cache.
        version: Version of the parser.
        sources: Files whose content decides, or folders whose listing (names, sizes) does.
        build: Calls the parser.
        options: The arguments that change the columns.
        cache_dir: Folder of the cache, see the module's text.

    Raises:
        ValueError: `build` raises it, or a source changes meanwhile.
    """
    folder = cache_folder(cache_dir) / layout
    names = hashlib.sha256(json.dumps([str(source) for source in sources]).encode()).hexdigest()
    memory = folder / f"sources-{names[:16]}.json"
    digests = digest_sources(sources, memory)
    settings = {"format": FORMAT_VERSION, "layout": layout, "version": version,
                "options": dict(sorted(options.items()))}
    key = hashlib.sha256(json.dumps([settings, digests]).encode()).hexdigest()[:32]
    place = folder / key
    if (index := _map_if_whole(place)) is not None:
        return index
    lock = _acquire(place)
    with lock or nullcontext():
        if (index := _map_if_whole(place)) is not None:  # built by another process while we waited
            return index
        logger, start = MMLogger.get_current_instance(), time.monotonic()
        logger.info(f"building the annotation index {layout}, later openings are fast: {_name_sources(sources)}")
        parsed = build()
        if digest_sources(sources, memory) != digests:
            raise ValueError(f"{layout}: expected sources that stay as they are, but they changed while they were read:"
                             f" {_name_sources(sources)}. Try again when they are complete.")
        digest = digest_of_columns(parsed.columns)
        settings["sources"] = dict(zip(map(str, sources), digests, strict=True))
        if lock and _store(place, parsed, digest, settings):
            logger.info(f"annotation index {layout}: built in {time.monotonic() - start:.1f} s, {place}")
            index = _map_if_whole(place)
        return index or Index(parsed.columns, parsed.skipped, digest)


def map_index(place: Path) -> Index:
    """Map a stored index.

    Raises:
        ValueError: A file is missing, cut short, or not what the manifest says.
        FileNotFoundError: There is no such index.
    """
    manifest = json.loads((place / MANIFEST).read_text())
    columns = {}
    for name, expected in manifest["columns"].items():
        path = place / f"{name}.npy"
        if not path.exists() or path.stat().st_size != expected["bytes"]:
            raise ValueError(f"{path}: expected {expected['bytes']} bytes, got another length or no file")
        column = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # memmap's own slicing is slow
        if [column.dtype.str, list(column.shape)] != [expected["dtype"], expected["shape"]]:
            raise ValueError(f"{path}: expected {expected}, got {column.dtype.str} {column.shape}")
        columns[name] = column
    return Index(columns, manifest["skipped"], manifest["digest"], place)


def _map_if_whole(place: Path) -> Index | None:
    """Map a stored index; return None if there is none, or a damaged one, which is logged."""
    try:
        return map_index(place)
    except FileNotFoundError:
        if not place.exists():
            return None
        fault = f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        fault = f"{type(error).__name__}: {error}"
    MMLogger.get_current_instance().warning(f"the annotation index {place} is damaged and is built anew: {fault}")
    return None


def _acquire(place: Path) -> AcquireReturnProxy | None:
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


def _store(place: Path, parsed: AnnotationColumns, digest: str, settings: Mapping[str, Any]) -> bool:
    """Write an index and put it in place in one step; return False, with a warning, where that is impossible."""
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        for leftover in place.parent.glob(f"{place.name}.*.tmp"):  # of a process that was killed: we have the lock
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir()
        columns = {name: _store_column(temporary / f"{name}.npy", column) for name, column in parsed.columns.items()}
        manifest = {**settings, "skipped": parsed.skipped, "digest": digest, "columns": columns}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if place.exists():  # damaged; who has mapped it keeps its files
            place.rename(place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp"))
        temporary.rename(place)
    except OSError as error:
        _warn_about_cache(place, error)
        shutil.rmtree(temporary, ignore_errors=True)
        return False
    for leftover in place.parent.glob(f"{place.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    return True


def _name_sources(sources: Sequence[Path], at_most: int = 5) -> str:
    """Name the first few sources: DexYCB has thousands."""
    more = [f"and {len(sources) - at_most} more"] if len(sources) > at_most else []
    return ", ".join([*map(str, sources[:at_most]), *more])


def _store_column(path: Path, column: NDArray) -> dict[str, Any]:
    """Write a column to the disk for good; return its entry of the manifest."""
    with path.open("xb") as file:
        np.save(file, np.ascontiguousarray(column), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
        return {"dtype": column.dtype.str, "shape": list(column.shape), "bytes": file.tell()}


def _warn_about_cache(place: Path, error: Exception) -> None:
    MMLogger.get_current_instance().warning(
        f"the annotation index cannot be stored in {place.parent} ({error}): it is held in memory, and built anew in "
        "every process. Name a folder that can be written with cache_dir or DFMAMBA_CACHE_DIR.")
