"""Opening files that others wrote: regular files only, of a stated size, and texts with or without a byte-order mark.

All readers of the package open their files here, so that a pipe or a device in place of a file ends in an error and
not in a program that waits or fills the memory.
"""

import codecs
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, TextIO

from dfmamba.errors import DataError

MAX_FILE_BYTES = 16 * 2**30  # all annotations of InterHand2.6M together have 3 GB
MAX_TEXT_BYTES = 2**28  # of a text that is read as a whole; the longest official list has 5 MB
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe (FIFO)",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
# UTF-32's mark begins with UTF-16's, so it is asked for first.
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def open_regular(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> BinaryIO:
    """Open a regular file for reading, in binary; never waits for the other end of a pipe.

    Raises:
        OSError: There is no such file, or it may not be read.
        ValueError: It is a folder, pipe, socket or device, or has more than `max_bytes`.
    """
    _check_status(path, os.stat(path), max_bytes)  # noqa: PTH116, `path` may be a text; to open a device may already act
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115, the caller closes it
    try:
        _check_status(path, os.fstat(file.fileno()), max_bytes)  # it may have been replaced meanwhile
    except ValueError:
        file.close()
        raise
    return file


def check_regular(path: str | Path) -> None:
    """Refuse what `open_regular` would, but for folders; the path must exist.

    Raises:
        ValueError: It is a pipe, socket or device, or has more than `MAX_FILE_BYTES`.
    """
    status = os.stat(path)  # noqa: PTH116
    if not stat.S_ISDIR(status.st_mode):
        _check_status(path, status, MAX_FILE_BYTES)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_status(path: str | Path, status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in KINDS.items() if is_kind(status.st_mode)), "something else")
        raise DataError(f"{path}: expected a file, got {kind}")
    if status.st_size > max_bytes:
        raise DataError(f"{path}: expected a file of at most {max_bytes} bytes, got {status.st_size}")


def read_bytes(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a file; errors as of `open_regular`."""
    with open_regular(path, max_bytes) as file:
        return file.read()


def open_text(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> TextIO:
    """Open a text in UTF-8, or in what its byte-order mark says (UTF-8, UTF-16, UTF-32); errors as of `open_regular`.

    Reading from it raises a `UnicodeDecodeError` where the bytes are no such text.
    """
    file = open_regular(path, max_bytes)
    encoding = encoding_of(file.read(4))
    file.seek(0)
    return io.TextIOWrapper(file, encoding=encoding)


def read_text(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return a text, see `open_text`; all ends of lines become those of Unix.

    Raises:
        OSError: There is no such file, or it may not be read.
        ValueError: It is no regular file, too large, or no text.
    """
    with open_text(path, max_bytes) as file:
        try:
            return file.read()
        except UnicodeError as error:
            raise ValueError(
                f"{path}: expected a text in UTF-8, or with a byte-order mark, got other bytes: {error}"
            ) from error


def encoding_of(head: bytes) -> str:
    """Return the encoding that the mark at the beginning of a text names; UTF-8 without one."""
    return next((encoding for mark, encoding in ENCODINGS.items() if head.startswith(mark)), "utf-8")


def to_utf8(text: bytes) -> bytes:
    """Return an encoded text as UTF-8 without a mark; as it is, if that is what it is.

    Raises:
        UnicodeError: The bytes are not what their mark says.
    """
    encoding = encoding_of(text[:4])
    if encoding == "utf-8":
        return text
    if encoding == "utf-8-sig":
        return text[len(codecs.BOM_UTF8) :]
    return text.decode(encoding).encode()
