"""The files of an annotation index: `.npy` columns and a manifest, written once, mapped by everybody, with checksums.

The manifest says of each column what is needed to map it (type, shape, where the numbers begin), so the header of the
`.npy` file is only there for other readers. Files are never changed after they were written: they are read-only, and a
damaged index is replaced as a whole, by renaming its folder.
"""

import hashlib
import io
import json
import mmap
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 2  # part of the name of the cache folder
MANIFEST = "manifest.json"
PLAIN_KINDS = "biufS"  # numpy's kinds: bool, integers, floating point, bytes of a fixed width
CHECKED_BYTES = 2**28  # smaller indices are compared with their checksums whenever they are opened: 0.2 s at the most
BLOCK_BYTES = 2**22
_COLUMN_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_DTYPE = re.compile(rf"[<>|][{PLAIN_KINDS}]\d{{1,9}}", re.ASCII)


class Index:
    """Annotations in read-only columns.

    A copy of a mapped index for another process (pickle) is only the name of its folder, and is mapped again there.

    Attributes:
        columns: Name to array.
        skipped: Number of records left out, by reason.
        digest: Hexadecimal digits that change with any entry of the columns.
        folder: Where the columns are mapped from; None if they are held in memory.
        replaced: What was wrong with the stored index that this one was built in place of; empty if nothing was.
    """

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        skipped: Mapping[str, int],
        digest: str,
        folder: Path | None = None,
        maps: Mapping[str, mmap.mmap] | None = None,
    ) -> None:
        self.columns, self.skipped, self.digest, self.folder = dict(columns), dict(skipped), digest, folder
        self.replaced = ""
        self._maps = dict(maps or {})
        for column in self.columns.values():
            column.setflags(write=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is not None:
            return map_index, (self.folder, False)
        return Index, (self.columns, self.skipped, self.digest)

    @property
    def num_bytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    def check_lengths(self) -> None:
        """Refuse a mapped file that somebody has cut short: touching what is gone kills the process (SIGBUS).

        It takes a microsecond or two; a file that is cut between this and the reading is not noticed.

        Raises:
            ValueError: It was cut short.
        """
        for name, mapped in self._maps.items():
            if mapped.size() < len(mapped):
                raise ValueError(
                    f"{self.folder}/{name}.npy: expected {len(mapped)} bytes, got {mapped.size()}: the "
                    "file was cut short while it was in use. Start again; the index is then rebuilt."
                )


class _StoredColumn(NamedTuple):
    """What the manifest says of a column; `offset` is where its numbers begin, `bytes` the length of the whole file."""

    dtype: str
    shape: list[int]
    offset: int
    bytes: int
    crc32: int


def digest_of_columns(columns: Mapping[str, NDArray[Any]]) -> str:
    """Return hexadecimal digits that change with the name, type, shape or any entry of a column."""
    sha = hashlib.sha256()
    for name, column in sorted(columns.items()):
        sha.update(json.dumps([name, column.dtype.str, column.shape]).encode())
        sha.update(_bytes_of(column))
    return sha.hexdigest()


def is_column_name(name: object) -> bool:
    """Whether a column may have this name, which is also that of a file."""
    return isinstance(name, str) and _COLUMN_NAME.fullmatch(name) is not None


def write_index(place: Path, columns: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    """Write the files of an index into an empty folder, to the disk for good.

    Args:
        place: The folder.
        columns: Name to array.
        manifest: The entries of the manifest but `columns`; `skipped` and `digest` are needed to map it.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    stored = {name: _write_column(place / f"{name}.npy", column)._asdict() for name, column in columns.items()}
    content = {**manifest, "columns": stored}
    text = json.dumps({**content, "sha256": _digest_of_json(content)}, indent=1)
    _write_file(place / MANIFEST, text.encode())


def map_index(place: Path, verify: bool | None = None) -> Index:
    """Map a stored index.

    Args:
        place: Its folder.
        verify: Whether to compare the columns with their checksums; by default if they take at most `CHECKED_BYTES`.
            The manifest is compared with its own in any case.

    Raises:
        ValueError: A file is missing, cut short, damaged, or not what the manifest says.
        FileNotFoundError: There is no such index.
        OSError: A file cannot be read.
    """
    manifest = _read_manifest(place / MANIFEST)
    stored: dict[str, _StoredColumn] = manifest["columns"]
    if verify is None:
        verify = sum(column.bytes for column in stored.values()) <= CHECKED_BYTES
    columns, maps = {}, {}
    for name, column in stored.items():
        maps[name] = mapped = _map_file(place / f"{name}.npy", column, verify)
        columns[name] = np.ndarray(column.shape, column.dtype, mapped, column.offset)
    return Index(columns, manifest["skipped"], manifest["digest"], place, maps)


def verify_index(index: Index) -> None:
    """Compare all columns of an index with the checksums that were stored with them, and with its digest.

    Raises:
        ValueError: They differ; the message names the file.
        OSError: A file cannot be read.
    """
    index.check_lengths()
    if index.folder is not None:
        map_index(index.folder, verify=True)
    if digest_of_columns(index.columns) != index.digest:
        raise ValueError(
            f"{index.folder or 'an annotation index in memory'}: expected columns with the digest "
            f"{index.digest}, got others: they were damaged"
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest with a `_StoredColumn` for each column, after all checks that need no column."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a file")
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no annotation index in {path.parent}: {path.name} is not there. It was deleted, or never built"
        ) from None
    try:
        manifest = json.loads(text)
        checksum = manifest.pop("sha256")
        if checksum != _digest_of_json(manifest):
            raise ValueError("another checksum than its content has")
        manifest["columns"] = {name: _checked(name, entry) for name, entry in manifest["columns"].items()}
        if not isinstance(manifest["digest"], str) or not all(map(_is_count, manifest["skipped"].values())):
            raise ValueError("a digest or counts of another type")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected the manifest of an annotation index, got a damaged one: {type(error).__name__}: {error}"
        ) from error
    return manifest


def _checked(name: str, entry: Mapping[str, Any]) -> _StoredColumn:
    """Return the manifest's entry of a column.

    Raises:
        ValueError: It does not fit together, or the name leads elsewhere.
        TypeError: It lacks something.
    """
    column = _StoredColumn(**entry)
    numbers = [*column.shape, column.offset, column.bytes, column.crc32]
    if not (is_column_name(name) and _DTYPE.fullmatch(column.dtype) and all(map(_is_count, numbers))):
        raise ValueError(f"a column {name!r} of {entry}")
    size = np.dtype(column.dtype).itemsize
    for length in column.shape:
        size *= length
    if column.offset + size != column.bytes:
        raise ValueError(f"a column {name!r} of {entry}, which does not take this number of bytes")
    return column


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _map_file(path: Path, column: _StoredColumn, verify: bool) -> mmap.mmap:
    """Map a whole file of a column.

    Raises:
        ValueError: It is missing or has another length; with `verify`, another checksum.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path}: expected a file of {column.bytes} bytes, got none")
    with path.open("rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        if length != column.bytes:
            raise ValueError(f"{path}: expected {column.bytes} bytes, got {length}")
        if verify and (crc32 := _crc32_of(file)) != column.crc32:
            raise ValueError(f"{path}: expected the checksum (CRC-32) {column.crc32:08x}, got {crc32:08x}")
        return mmap.mmap(file.fileno(), column.bytes, access=mmap.ACCESS_READ)


def _crc32_of(file: BinaryIO) -> int:
    """Return the checksum of a file; read, not mapped, because bad blocks of a disk are errors then, not signals."""
    crc32 = 0
    while block := file.read(BLOCK_BYTES):
        crc32 = zlib.crc32(block, crc32)
    return crc32


def _write_column(path: Path, column: NDArray[Any]) -> _StoredColumn:
    """Write a column; return its entry of the manifest, whose checksum is that of the memory, not of the file."""
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        start, {"descr": column.dtype.str, "fortran_order": False, "shape": column.shape}
    )
    header, numbers = start.getvalue(), _bytes_of(column)
    _write_file(path, header, numbers)
    return _StoredColumn(
        column.dtype.str,
        list(column.shape),
        len(header),
        len(header) + column.nbytes,
        zlib.crc32(numbers, zlib.crc32(header)),
    )


def _write_file(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file to the disk for good; nobody changes it afterwards."""
    with path.open("xb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), 0o444)


def _bytes_of(column: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order."""
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


def _digest_of_json(content: Any) -> str:
    """Return the SHA-256 of a content of JSON, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
