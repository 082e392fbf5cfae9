"""What the key of an annotation index is made of: digests of its source files, remembered between openings.

A digest costs a reading of the whole file, gigabytes for the largest sets. So it is remembered with the file's size and
times, and read from there as long as these stay the same.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

BLOCK_BYTES = 2**22
SLOW_BYTES = 2**28  # a longer file is announced in the log
UNSETTLED_NS = 2 * 10**9  # a file younger than this may change again without a change of its times


def digest_sources(sources: Sequence[Path], memory: Path) -> list[str]:
    """Return hexadecimal digits for each file that change with its content, or for each folder with its listing.

    Args:
        sources: Files and folders; of a folder, names and sizes of all files below it count.
        memory: JSON file that remembers the digests; it need not exist, nor be writable.

    Raises:
        FileNotFoundError: A source does not exist.
        ValueError: A file changes while it is read.
    """
    remembered = _recall(memory)
    digests, entries = [], {}
    for source in sources:
        if source.is_dir():
            digests.append(_digest_listing(source))
            continue
        signature = _signature(source)
        entry = remembered.get(str(source))
        if entry is None or entry[0] != signature:
            entry = [signature, _digest_file(source, signature)]
        digests.append(entry[1])
        if _is_settled(signature):
            entries[str(source)] = entry
    if entries != remembered:
        _remember(memory, entries)
    return digests


def _signature(path: Path) -> list[int]:
    """Return size in bytes and times in ns of the last change of the content and of the file's entry."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _is_settled(signature: list[int]) -> bool:
    """Whether the last change is so old that another one would change the times."""
    now = time.time_ns()
    return all(abs(now - changed) > UNSETTLED_NS for changed in signature[1:])


def _digest_file(path: Path, signature: list[int]) -> str:
    if signature[0] > SLOW_BYTES:
        MMLogger.get_current_instance().info(f"reading {path} ({signature[0] / 1e9:.1f} GB) to see whether it changed")
    sha = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            sha.update(block)
    if _signature(path) != signature:
        raise ValueError(f"{path}: expected a file that stays as it is, but it changes while it is read. "
                         "Try again when it is complete.")
    return sha.hexdigest()


def _digest_listing(folder: Path) -> str:
    """Return digits that change with names and sizes; DexYCB has a million files, so folder by folder, not by file."""
    sha = hashlib.sha256()
    waiting = [str(folder)]
    while waiting:
        parent = waiting.pop()
        with os.scandir(parent) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        files = [(entry.name, entry.stat().st_size) for entry in entries if not entry.is_dir()]
        sha.update(json.dumps([os.path.relpath(parent, folder), files]).encode())
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sha.hexdigest()


def _recall(memory: Path) -> dict[str, Any]:
    """Return what is remembered: path to [signature, digest]; nothing where the file is missing or damaged."""
    try:
        entries = json.loads(memory.read_text())
        return {path: [list(map(int, signature)), str(digest)] for path, (signature, digest) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, entries: dict[str, Any]) -> None:
    """Write the digests if that is possible; they only save time."""
    temporary = memory.with_name(f"{memory.name}.{os.getpid()}.tmp")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(entries, indent=1))
        temporary.replace(memory)
    except OSError as error:
        MMLogger.get_current_instance().debug(f"{memory}: not written: {error}")
