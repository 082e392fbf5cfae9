"""Errors that name a file and a place in it."""

from pathlib import Path

from dfmamba.errors import DataError
from dfmamba.io.limits import ContentError


def place_error(path: Path, place: object, expected: str, got: object) -> DataError:
    """Return the error for a faulty place of a file, such as 'line 3' or 'sample 17'."""
    return DataError(f"{path}: {place}: expected {expected}, got {got}")


def record_error(path: Path, record: object, expected: str, got: object) -> DataError:
    """Return the error for a faulty record of an annotation file."""
    return place_error(path, f"record {record}", expected, got)


def broken_file(path: Path, expected: str, error: object) -> DataError:
    """Return the error for a file that cannot be read as a whole."""
    hint = "" if isinstance(error, ContentError) else " Is the file cut short? If it was downloaded, fetch it again."
    return DataError(f"{path}: expected {expected}, got an error: {error}.{hint}")


def require_file(path: Path) -> None:
    """Refuse a path where nothing is.

    Raises:
        FileNotFoundError: Nothing is there.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")


def require_parts(*paths: Path) -> None:
    """Refuse a split of which one of the annotation files is missing.

    Raises:
        FileNotFoundError: One of them does not exist.
    """
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path} (one of the annotation files of a split)")
