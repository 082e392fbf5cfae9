"""What the key of an annotation index is made of: digests of its source files, remembered between openings.

A digest costs a reading of the whole file, gigabytes for the largest sets. So it is remembered with the file's size and
times, and read from there as long as these stay the same. Of a folder with a million files not the contents count but
the listing, with the same times; so a copy of the data, or `touch`, has another digest.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from dfmamba.io.atomic import write_atomically

BLOCK_BYTES = 2**22
SLOW_BYTES = 2**28  # a longer file is announced in the log
UNSETTLED_NS = 2 * 10**9  # a file younger than this may change again without a change of its times


def digest_sources(sources: Sequence[Path], memory: Path, now_ns: int | None = None) -> list[str]:
    """Return hexadecimal digits for each file that change with its content, or for each folder with its listing.

    Args:
        sources: Files and folders. Of a folder, the names, sizes and times of change (of content and entry) of all
            files below it count; of files that changed just before `now_ns`, the content instead of the times.
        memory: JSON file that remembers the digests; it need not exist, nor be writable.
        now_ns: Time that decides which files of folders are young, in ns; two calls with the same time are comparable.
            By default the present.

    Raises:
        FileNotFoundError: A source does not exist.
        ValueError: A file changes while it is read.
    """
    remembered = _recall(memory)
    now_ns = time.time_ns() if now_ns is None else now_ns
    digests, entries = [], {}
    for source in sources:
        if source.is_dir():
            digests.append(_digest_listing(source, now_ns))
            continue
        signature = _signature(source)
        entry = remembered.get(str(source))
        if entry is None or entry[0] != signature:
            entry = [signature, _digest_file(source, signature)]
        digests.append(entry[1])
        if _is_settled(signature[1], signature[2], time.time_ns()):
            entries[str(source)] = entry
    if entries != remembered:
        _remember(memory, entries)
    return digests


def _signature(path: Path) -> list[int]:
    """Return size in bytes and times in ns of the last change of the content and of the file's entry."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _is_settled(mtime_ns: int, ctime_ns: int, now_ns: int) -> bool:
    """Whether the last change is so far from the present that another change now would change the file's times."""
    return abs(now_ns - mtime_ns) > UNSETTLED_NS and abs(now_ns - ctime_ns) > UNSETTLED_NS


def _digest_file(path: Path, signature: list[int]) -> str:
    if signature[0] > SLOW_BYTES:
        MMLogger.get_current_instance().info(f"reading {path} ({signature[0] / 1e9:.1f} GB) to see whether it changed")
    digest = _digest_content(path)
    if _signature(path) != signature:
        raise ValueError(
            f"{path}: expected a file that stays as it is, but it changes while it is read. "
            "Try again when it is complete."
        )
    return digest


def _digest_content(path: str | Path) -> str:
    sha = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            sha.update(block)
    return sha.hexdigest()


def _digest_listing(folder: Path, now_ns: int) -> str:
    """Return digits that change with names, sizes and times, or young contents, of all files below a folder.

    DexYCB has a million files: one pass of `scandir`, one `stat` a file, hashed folder by folder.
    """
    sha = hashlib.sha256()
    waiting = [str(folder)]
    while waiting:
        parent = waiting.pop()
        with os.scandir(parent) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        files = [_describe_entry(entry, now_ns) for entry in entries if not entry.is_dir()]
        sha.update(json.dumps([os.path.relpath(parent, folder), files]).encode())
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sha.hexdigest()


def _describe_entry(entry: os.DirEntry[str], now_ns: int) -> tuple[str | int, ...]:
    """Return what of a file goes into the digest of its folder."""
    status = entry.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    if _is_settled(*times, now_ns) or not stat.S_ISREG(status.st_mode):
        return entry.name, status.st_size, *times
    return entry.name, status.st_size, _digest_content(entry.path)


def _recall(memory: Path) -> dict[str, Any]:
    """Return what is remembered: path to [signature, digest]; nothing where the file is missing or damaged."""
    try:
        entries = json.loads(memory.read_text())
        return {path: [list(map(int, signature)), str(digest)] for path, (signature, digest) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, entries: dict[str, Any]) -> None:
    """Write the digests if that is possible; they only save time."""
    try:
        write_atomically(memory, json.dumps(entries, indent=1))
    except OSError as error:
        MMLogger.get_current_instance().debug(f"{memory}: not written: {error}")
