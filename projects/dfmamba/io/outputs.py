"""The places where results go, looked at before the hours of work whose results they are to take."""

import errno
import os
import stat
from pathlib import Path

from dfmamba.errors import UserError


def check_output_file(option: str, path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be written; it is not made, nor are the folders that it lacks.

    Args:
        option: The option or config key that names it, for the message.
        path: The file.

    Raises:
        UserError: It is a folder, or it, or the nearest folder above it that is there, cannot be written.
    """
    file = Path(path)
    if _is_there(option, file):
        if file.is_dir():
            raise UserError(f"{option}: expected a file, {file} is a folder")
        _require_access(option, file, os.W_OK)
        return file
    check_output_folder(option, file.parent)
    return file


def check_output_folder(option: str, path: str | os.PathLike[str]) -> Path:
    """Return the path of a folder that can be written; it is not made.

    Raises:
        UserError: It, or the nearest thing above it that is there, is not a folder, or cannot be written.
    """
    folder = Path(path)
    nearest = next(
        (place for place in (folder.absolute(), *folder.absolute().parents) if _is_there(option, place)), Path("/")
    )
    if not nearest.is_dir():
        raise UserError(
            f"{option}: expected a folder, {folder} "
            + (f"lies below {nearest}, which is a file" if nearest != folder.absolute() else "is a file")
        )
    _require_access(option, nearest, os.W_OK | os.X_OK)
    return folder


def _is_there(option: str, path: Path) -> bool:
    try:
        return stat.S_IFMT(path.stat().st_mode) != 0
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise UserError(f"{option}: {path}: {error.strerror}") from error  # a name too long, no permission on the way


def _require_access(option: str, path: Path, mode: int) -> None:
    if not os.access(path, mode):
        reason = "the file system is read-only" if os.statvfs(path).f_flag & os.ST_RDONLY else "permission denied"
        raise UserError(f"{option}: cannot write to {path}: {reason}")
