"""Reading files that others wrote: nothing in them is run, and errors name the file and the record.

The readers refuse what could run code (pickles beyond plain data, YAML objects, arrays of objects) or exhaust the
memory (pictures and arrays of absurd sizes); `check_relative_path` refuses names that lead out of the data's folder.
`Faults` is the policy for faulty records: raise, or count and go on.
"""

import json
import math
import re
import reprlib
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import numpy as np
import scipy.io
import yaml  # type: ignore[import-untyped]
from mmengine.logging import MMLogger
from numpy.typing import NDArray
from PIL import Image

from dfmamba.datasets.plain_pickle import PlainUnpickler
from dfmamba.errors import DataError

MAX_IMAGE_PIXELS = 64_000_000  # 12 times the largest picture of the five data sets; 192 MB as 8-bit RGB
MAX_ARRAY_BYTES = 4 * 2**30  # of all arrays of one file; the largest official file holds 14 MB
IMAGE_FORMATS = ("PNG", "JPEG", "BMP")
FAULT_POLICIES = ("raise", "skip")


class Faults:
    """What happens to faulty records: the error is raised, or counted and the first few logged.

    Args:
        policy: 'raise' or 'skip'.
        reason: The name under which they are counted.
        logged: So many are logged.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, policy: str = "raise", reason: str = "faulty record", logged: int = 5) -> None:
        if policy not in FAULT_POLICIES:
            raise ValueError(f"faulty: expected one of {FAULT_POLICIES}, got {policy!r}")
        self.policy, self.reason, self.logged = policy, reason, logged
        self.count = 0

    def add(self, error: Exception) -> None:
        """Raise the error of a faulty record, or count it."""
        if self.policy == "raise":
            raise error
        self.count += 1
        if self.count <= self.logged:
            more = "; further ones are only counted" if self.count == self.logged else ""
            MMLogger.get_current_instance().warning(f"skipped a {self.reason}: {error}{more}")

    @property
    def skipped(self) -> dict[str, int]:
        """The count by reason, as `AnnotationColumns.skipped` wants it; empty without faults."""
        return {self.reason: self.count} if self.count else {}


def read_json(path: Path, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Read a JSON file; `object_hook` may replace each dictionary as soon as it is read.

    Raises:
        ValueError: The file is not complete, valid JSON.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_hook=object_hook)
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, or a number of more digits than Python takes
        raise broken_file(path, "a complete JSON file", error) from error


def broken_file(path: Path, expected: str, error: object) -> DataError:
    """Return the error for a file that cannot be read as a whole."""
    return DataError(f"{path}: expected {expected}, got a fault: {error}. Is the download cut short? "
                     "Fetch the file again.")


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data: numbers, texts, containers and arrays; pickles of Python 2 too.

    Raises:
        ValueError: The file is not a complete pickle, or it names a class or function that is not on the list; the
            error says which.
    """
    try:
        with path.open("rb") as file:
            return PlainUnpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise broken_file(path, "a complete pickle of plain data and arrays", error) from error


class _PlainLoader(yaml.SafeLoader):
    """YAML's own types, and tuples."""


def _make_tuple(loader: _PlainLoader, node: yaml.SequenceNode) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _make_tuple)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain data; of Python's own tags only `python/tuple` is known.

    Raises:
        ValueError: The file is no YAML, or names another tag.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, _PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise broken_file(path, "a YAML file of plain data", text) from error


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Read arrays of an `.npz` file; arrays of objects (pickles) are refused.

    Args:
        path: The file.
        names: Only these arrays, those of them that are there; all by default.

    Raises:
        ValueError: The file is no complete `.npz`, holds objects, or would take more than `MAX_ARRAY_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_bytes(sum(member.file_size for member in archive.infolist()))
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names) if name in file.files}
    except OSError:
        raise
    except Exception as error:  # zlib, zipfile and numpy have errors of their own
        raise broken_file(path, "a complete .npz file of plain arrays", error) from error


def read_mat(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Read arrays of a MATLAB file (before version 7.3); cells, structures and objects are refused.

    Args:
        path: The file.
        names: Only these variables, all of which must be there; all by default.

    Raises:
        ValueError: The file is no complete MATLAB file, lacks a variable, or one is not a plain array.
    """
    try:
        there = {name: shape for name, shape, _ in scipy.io.whosmat(str(path))}
        wanted = list(there if names is None else names)
        missing = [name for name in wanted if name not in there]
        if missing:
            raise ValueError(f"no variable {missing}, only {list(there)}")
        _check_bytes(sum(8 * math.prod(there[name]) for name in wanted))
        arrays = scipy.io.loadmat(str(path), variable_names=wanted)
        for name in wanted:
            if not isinstance(arrays[name], np.ndarray) or arrays[name].dtype.hasobject:
                raise ValueError(f"the variable {name!r}, which is a cell, structure or object")
        return {name: arrays[name] for name in wanted}
    except Exception as error:  # scipy has errors of its own, also zlib's
        if isinstance(error, OSError) and error.errno is not None:  # scipy's at the end of a file has no number
            raise
        raise broken_file(path, "a complete MATLAB file with plain arrays", error) from error


def _check_bytes(size: int) -> None:
    """Refuse arrays that would take too much memory."""
    if size > MAX_ARRAY_BYTES:
        raise ValueError(f"arrays of {size} bytes, more than {MAX_ARRAY_BYTES}")


MAX_NAME_LENGTH = 500  # a column of names is as wide as the longest of them
_PLAIN_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)


def check_relative_path(path: Path, record: object, name: str) -> str:
    r"""Return a file name of an annotation file if it stays below the data's folder.

    Args:
        path: The annotation file, for the message.
        record: The record, likewise.
        name: The name, with `/` or `\`.

    Raises:
        ValueError: The name is empty, absolute, longer than `MAX_NAME_LENGTH`, has a drive or a NUL, or leads out by
            `..`.
    """
    # By far the most names, a million times: no part of them starts with a dot.
    if len(name) <= MAX_NAME_LENGTH and _PLAIN_NAME.fullmatch(name):
        return name
    depth, inside = 0, True
    for part in PureWindowsPath(name).parts:  # knows both separators, and drives
        depth += -1 if part == ".." else 1
        inside &= depth >= 0
    if len(name) > MAX_NAME_LENGTH or depth < 1 or not inside or "\0" in name or PureWindowsPath(name).anchor:
        raise fault(path, record, "a relative file name that stays in the folder of the data", repr(name[:200]))
    return name


def read_image_size(path: Path) -> tuple[int, int]:
    """Return width and height in px from the header of a PNG, JPEG or BMP; nothing is decoded.

    Raises:
        ValueError: It is no such picture, or has more than `MAX_IMAGE_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: expected an image of at most {MAX_IMAGE_PIXELS} pixels, got: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: expected an image file ({', '.join(IMAGE_FORMATS)}), got one that cannot be "
                         "decoded. Is the download cut short?") from error
    if width * height > MAX_IMAGE_PIXELS:
        raise ValueError(f"{path}: expected an image of at most {MAX_IMAGE_PIXELS} pixels, got {width} x {height}")
    return width, height


_ENDINGS = {b"\x89PNG": b"IEND", b"\xff\xd8": b"\xff\xd9"}  # how a file begins: what stands at its end
_TAIL_BYTES = 1024  # some writers add a few bytes behind the end


def check_image_end(path: Path) -> None:
    """Refuse a PNG or JPEG that was written or fetched by half: OpenCV fills the rest of a JPEG in grey, silently.

    Raises:
        ValueError: The mark of the end is not there.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(4)
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        tail = file.read()
    for beginning, ending in _ENDINGS.items():
        if head.startswith(beginning) and ending not in tail:
            raise ValueError(f"{path}: expected a whole image, got one whose end is missing. Is the download cut "
                             "short? Fetch the file again.")


def check_image_content(path: Path) -> None:
    """Refuse an image that OpenCV cannot decode.

    Raises:
        ValueError: It cannot.
    """
    if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
        raise ValueError(f"{path}: expected an image, got one that is damaged inside. Fetch the file again.")


def fault(path: Path, record: object, expected: str, got: object) -> DataError:
    """Return the error for a faulty record of an annotation file."""
    return DataError(f"{path}: record {record}: expected {expected}, got {got}")


def shorten(value: object, length: int = 100) -> str:
    """Return the beginning of a value as a text, for messages.

    Ten lists in lists, each of which names the one before it ten times, are 300 bytes of YAML and 10^10 items written
    out: so neither all of a value that others wrote is written out, nor made an array of.

    >>> shorten([[1, 2], "three"])
    "[[1, 2], 'three']"
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, length, length
    return short.repr(value)[:length]


def _has_more_items(value: object, limit: int) -> bool:
    """Whether nested lists have more items than that, each counted as often as it is named."""
    waiting, items = [value], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            items += len(value)
            if items > limit:
                return True
            waiting.extend(value)
    return False


def get_key(path: Path, record: object, mapping: Any, key: str, what: str = "the key") -> Any:
    """Return `mapping[key]`.

    Raises:
        ValueError: There is no such key, or `mapping` is no dictionary.
    """
    if isinstance(mapping, dict) and key in mapping:
        return mapping[key]
    there = f"the keys {list(mapping)[:10]}" if isinstance(mapping, dict) else f"a {type(mapping).__name__}"
    raise fault(path, record, f"{what} {key!r}", there)


def get_integer(path: Path, record: object, mapping: Any, key: str) -> int:
    """Return `mapping[key]` as an integer; digits in quotes will do.

    Raises:
        ValueError: There is no such key, or no integer.
    """
    value = get_key(path, record, mapping, key)
    try:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(np.int64(int(value)))
    except (TypeError, ValueError, OverflowError):
        raise fault(path, record, f"an integer for {key!r}", shorten(value)) from None


def get_array(path: Path, record: object, mapping: Any, key: str, shape: tuple[int, ...],
              what: str = "the key") -> NDArray[np.float64]:
    """Return `mapping[key]` as numbers of the given shape; trailing axes of length 1 may come in addition.

    Raises:
        ValueError: There is no such key, or the shape is another one.
    """
    value = get_key(path, record, mapping, key, what)
    if _has_more_items(value, 100 + 10 * math.prod(shape)):
        raise fault(path, record, f"numbers of shape {shape} for {key!r}", f"far more: {shorten(value)}")
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise fault(path, record, f"numbers of shape {shape} for {key!r}", shorten(value)) from None
    if array.shape[: len(shape)] != shape or array.size != math.prod(shape):
        raise fault(path, record, f"numbers of shape {shape} for {key!r}", f"shape {array.shape}")
    return array.reshape(shape)


def check_boxes(path: Path, records: NDArray, boxes_xywh: NDArray) -> None:
    """Refuse boxes (N, 4) [x, y, w, h] without a positive area; `records` (N,) are named in the error.

    Raises:
        ValueError: A box is not finite, or has no area.
    """
    good = np.isfinite(boxes_xywh).all(axis=1) & (boxes_xywh[:, 2:] > 0).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise fault(path, records[row], "a 'bbox' [x, y, w, h] in px with positive w and h", boxes_xywh[row].tolist())


def describe_usage(name: str, used: int, skipped: Mapping[str, int]) -> str:
    """Say how many samples are used and how many are skipped for which reason, the most frequent first.

    >>> describe_usage("Set", 61153, {"no valid joint": 87, "root invalid": 300})
    'Set: 61153 used, 387 skipped: root invalid 300, no valid joint 87'
    """
    reasons = sorted(((count, reason) for reason, count in skipped.items() if count), reverse=True)
    text = f"{name}: {used} used, {sum(count for count, _ in reasons)} skipped"
    return text + (": " + ", ".join(f"{reason} {count}" for count, reason in reasons) if reasons else "")
