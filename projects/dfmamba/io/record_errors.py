"""Errors that name a file and a place in it, and what happens to a faulty record: raise, or count and go on."""

from pathlib import Path

from mmengine.logging import MMLogger

from dfmamba.errors import DataError
from dfmamba.io.limits import ContentError

RECORD_ERROR_POLICIES = ("raise", "skip")
FAULTY = "faulty record"  # the name under which they are counted
MAX_LOGGED = 5


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
    """Refuse a path where no file is.

    Raises:
        FileNotFoundError: Nothing is there.
        DataError: A folder or a device is there.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():
        raise DataError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'no regular file'}")


def require_parts(*paths: Path) -> None:
    """Refuse a split of which one of the annotation files is missing.

    Raises:
        FileNotFoundError: One of them does not exist.
    """
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path} (one of the annotation files of a split)")


class RecordErrorPolicy:
    """What happens to faulty records: the error is raised, or counted and the first few logged.

    Args:
        policy: 'raise' or 'skip'.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, policy: str = "raise") -> None:
        if policy not in RECORD_ERROR_POLICIES:
            raise ValueError(f"faulty: expected one of {RECORD_ERROR_POLICIES}, got {policy!r}")
        self.policy = policy
        self.count = 0

    def add(self, error: Exception) -> None:
        """Raise the error of a faulty record, or count it."""
        if self.policy == "raise":
            raise error
        self.count += 1
        if self.count <= MAX_LOGGED:
            more = "; further ones are only counted" if self.count == MAX_LOGGED else ""
            MMLogger.get_current_instance().warning(f"skipped a {FAULTY}: {error}{more}")

    @property
    def skipped(self) -> dict[str, int]:
        """The count by reason, as `AnnotationColumns.skipped` wants it; empty without faults."""
        return {FAULTY: self.count} if self.count else {}
