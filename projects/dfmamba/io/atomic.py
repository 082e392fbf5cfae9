"""Files that are written whole or not at all: a kill or a full disk leaves the old one as it was."""

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


def write_atomically(path: str | os.PathLike[str], content: bytes | memoryview | str) -> None:
    """Write a file beside its place, bring it to the disk, and rename it; missing folders are made.

    At every moment `path` is what it was before or the whole new file, even if the process or the machine dies.

    Args:
        path: The file.
        content: What it shall hold; text is written as UTF-8.

    Raises:
        OSError: It cannot be written (disk full, no permission); `path` is as before and nothing is left beside it.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # of a write the system names none, of the rest the temporary file
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: str | os.PathLike[str], pattern: str = "*") -> None:
    """Remove what killed processes left beside the files of a folder whose names match a pattern."""
    for leftover in Path(folder).glob(f"{pattern}.*{TEMPORARY_SUFFIX}"):
        if leftover.name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2].isdigit():
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk; not every file system lets a folder be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
