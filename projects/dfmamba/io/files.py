"""Reading files that others wrote: nothing in them is run, and errors name the file and the record.

The readers open regular files only (`dfmamba.io.regular_files`). They refuse what could run code (pickles beyond plain
data, YAML objects, arrays of objects), what could exhaust the memory (arrays of absurd sizes, a few bytes that unfold
to billions of items), and what says two things at once (a key twice); `check_relative_path` refuses names that lead out
of the data's folder.
"""

import math
import re
import reprlib
import zipfile
import zlib
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np
import scipy.io
import yaml
from numpy.typing import NDArray

from dfmamba.io.images import MAX_IMAGE_PIXELS as MAX_IMAGE_PIXELS  # the parsers take these two from here
from dfmamba.io.images import read_image_size as read_image_size
from dfmamba.io.limits import MAX_DEPTH, ContentError, check_expansion, first_repeated
from dfmamba.io.plain_pickle import PLAIN_KINDS, PlainUnpickler
from dfmamba.io.record_errors import broken_file, record_error
from dfmamba.io.regular_files import open_regular, open_text, read_bytes

MAX_ARRAY_BYTES = 2**30  # of all arrays of one file; NYU's training file, the largest official one, has 0.4 GB
MAX_PICKLE_BYTES = 2**30  # RHD's training file has 0.1 GB
MAX_YAML_ITEMS = 1_000_000
MAX_YAML_BYTES = 2**18  # the largest official file has 0.01 MB; PyYAML takes half a minute for 1 MB


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data: numbers, texts, containers and arrays of real numbers; pickles of Python 2 too.

    Raises:
        ValueError: The file is not a complete pickle, has a key twice, unfolds to much more than its size (see
            `plain_pickle` and `check_expansion`), or names a class or function that is not on the list; the error says
            which.
    """
    content = read_bytes(path, MAX_PICKLE_BYTES)
    try:
        result = PlainUnpickler(content).load()
        check_expansion(result)
        return result
    except Exception as error:  # a damaged pickle may raise anything
        raise broken_file(path, "a complete pickle of plain data and arrays", error) from error


class _PlainLoader(yaml.SafeLoader):
    """YAML's own types, and tuples; a key twice in one mapping and keys merged from another one (`<<`) are refused."""

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        """Refuse brackets in too many brackets at once: looking ahead among them takes PyYAML seconds."""
        if self.flow_level >= MAX_DEPTH:
            raise ContentError(f"more than {MAX_DEPTH} containers in one another")
        super().fetch_flow_collection_start(token_class)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse what cannot be merged, or found again, in bounded time; called for every mapping."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ContentError("the merge key '<<', which is not read")
            if not isinstance(key, yaml.ScalarNode):
                raise ContentError("a key that is not a single value")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            repeated = first_repeated(key.value for key, _ in node.value)
            raise ContentError(f"the key {shorten(repeated)} twice in one mapping")
        return mapping


def _make_tuple(loader: _PlainLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _make_tuple)
# Numbers without a point, such as 1e-05, are texts to PyYAML; to everybody else they are numbers.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain data; of Python's own tags only `python/tuple` is known.

    Raises:
        ValueError: The file is no YAML, names another tag, has a key twice, or unfolds too far (see `check_expansion`).
    """
    with open_text(path, MAX_YAML_BYTES) as file:
        try:
            result = yaml.load(file.read(), _PlainLoader)
            check_expansion(result, MAX_YAML_ITEMS)
            return result
        except ContentError as error:
            raise broken_file(path, "a YAML file of plain data", error) from error
        except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
            raise broken_file(path, "a YAML file of plain data", " ".join(str(error).split())) from error


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of an `.npz` file: real numbers, flags and texts; all others, such as objects (pickles), are refused.

    Args:
        path: The file.
        names: Only these arrays, those of them that are there; all by default.

    Raises:
        ValueError: The file is no complete `.npz`, an array is of another kind or there twice, or they would take more
            than `MAX_ARRAY_BYTES`.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _check_names(member.filename.removesuffix(".npy") for member in members)
                _check_bytes(sum(member.file_size for member in members))
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                wanted = arrays.files if names is None else names
                return {name: _plain_array(name, arrays[name]) for name in wanted if name in arrays.files}
        except Exception as error:  # zlib, zipfile and numpy have errors of their own
            raise broken_file(path, "a complete .npz file of plain arrays", error) from error


def read_mat(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of a MATLAB file (before version 7.3); cells, structures, objects and complex numbers are refused.

    Args:
        path: The file.
        names: Only these variables, all of which must be there; all by default.

    Raises:
        ValueError: The file is no complete MATLAB file, lacks a variable or has one twice, one is not a plain array, or
            they would take more than `MAX_ARRAY_BYTES`.
    """
    with open_regular(path) as file:
        try:
            _check_compressed_bytes(file)
            listed = scipy.io.whosmat(file)
            there = {name: shape for name, shape, _ in listed}
            _check_names(name for name, *_ in listed)
            wanted = list(there if names is None else names)
            missing = [name for name in wanted if name not in there]
            if missing:
                raise ValueError(f"no variable {missing}, only {list(there)}")
            _check_bytes(sum(8 * math.prod(there[name]) for name in wanted))
            arrays = scipy.io.loadmat(file, variable_names=wanted)
            return {name: _plain_array(name, arrays[name]) for name in wanted}
        except Exception as error:  # scipy has errors of its own, also zlib's
            raise broken_file(path, "a complete MATLAB file with plain arrays", error) from error


def _check_names(names: Iterable[str]) -> None:
    """Refuse an array that is there twice: readers take the last one, without a word."""
    if (repeated := first_repeated(names)) is not None:
        raise ContentError(f"the array {repeated!r} twice")


def _plain_array(name: str, array: Any) -> NDArray[Any]:
    """Return an array of real numbers, flags or texts."""
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise ContentError(f"the variable {name!r}, which is a cell, structure or object")
    if array.dtype.kind not in PLAIN_KINDS:
        raise ContentError(f"{array.dtype} in place of real numbers in {name!r}")
    return array


MAT_COMPRESSED, MAT_HEADER_BYTES = 15, 128
INFLATION = 1032  # zlib makes at most this many bytes of one
PIECE_BYTES = 2**16


def _check_compressed_bytes(file: BinaryIO) -> None:
    """Refuse a MATLAB file whose compressed variables unfold to more than `MAX_ARRAY_BYTES`, whatever their shapes say.

    Files that are too small for that are not read, so mostly this costs nothing.
    """
    size = file.seek(0, 2)
    file.seek(0)
    order = {b"IM": "little", b"MI": "big"}.get(file.read(MAT_HEADER_BYTES)[-2:])
    if order is not None and INFLATION * size > MAX_ARRAY_BYTES:
        unfolded = 0
        while len(tag := file.read(8)) == 8:
            kind, length = (int.from_bytes(part, order) for part in (tag[:4], tag[4:]))  # type: ignore[arg-type]
            following = file.tell() + length
            if kind == MAT_COMPRESSED:
                inflater = zlib.decompressobj()
                for _ in range(0, length, PIECE_BYTES):
                    unfolded += len(inflater.decompress(file.read(PIECE_BYTES)))
                    _check_bytes(unfolded)
            file.seek(following)
    file.seek(0)


def _check_bytes(size: int) -> None:
    """Refuse arrays that would take too much memory."""
    if size > MAX_ARRAY_BYTES:
        raise ContentError(f"arrays of {size} bytes, more than {MAX_ARRAY_BYTES}")


MAX_NAME_LENGTH = 500  # a column of names is as wide as the longest of them
_PLAIN_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)


def check_relative_path(path: Path, record: object, name: str) -> str:
    r"""Return a file name of an annotation file, with `/` between its parts, if it stays below the data's folder.

    Args:
        path: The annotation file, for the message.
        record: The record, for the message.
        name: The name, with `/`, or with `\` as tools for Windows write it.

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
    if not is_storable(name) or depth < 1 or not inside or PureWindowsPath(name).anchor:
        raise record_error(path, record, "a relative file name that stays in the folder of the data", repr(name[:200]))
    return name.replace("\\", "/")


def is_storable(name: str) -> bool:
    """Say whether a column of names keeps a name: not longer than `MAX_NAME_LENGTH`, no NUL, no half of a surrogate."""
    return len(name) <= MAX_NAME_LENGTH and "\0" not in name and not any("\ud800" <= sign <= "\udfff" for sign in name)


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


def _size_along_the_first_items(value: object) -> int:
    """Return how many numbers nested lists hold if all are as long as the first ones; numpy refuses them else."""
    size = 1
    while isinstance(value, list | tuple) and value:
        size *= len(value)
        value = value[0]
    return size


def get_key(path: Path, record: object, mapping: Any, key: str, what: str = "the key") -> Any:
    """Return `mapping[key]`.

    Raises:
        ValueError: There is no such key, or `mapping` is no dictionary.
    """
    if isinstance(mapping, dict) and key in mapping:
        return mapping[key]
    there = f"the keys {list(mapping)[:10]}" if isinstance(mapping, dict) else f"a {type(mapping).__name__}"
    raise record_error(path, record, f"{what} {key!r}", there)


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
        raise record_error(path, record, f"an integer for {key!r}", shorten(value)) from None


def get_text(path: Path, record: object, mapping: Any, key: str) -> str:
    """Return `mapping[key]`, a text for a column of names.

    Raises:
        ValueError: There is no such key, no text, an empty one, or one that is not storable, see `is_storable`.
    """
    text = get_key(path, record, mapping, key)
    if isinstance(text, str) and text and is_storable(text):
        return text
    raise record_error(path, record, f"a text of 1 to {MAX_NAME_LENGTH} characters for {key!r}", ascii(shorten(text)))


def get_array(
    path: Path, record: object, mapping: Any, key: str, shape: tuple[int, ...], what: str = "the key"
) -> NDArray[np.float64]:
    """Return `mapping[key]` as numbers of the given shape; trailing axes of length 1 may come in addition.

    Raises:
        ValueError: There is no such key, or the shape is another one.
    """
    value = get_key(path, record, mapping, key, what)
    if _size_along_the_first_items(value) > 100 + 10 * math.prod(shape):
        raise record_error(path, record, f"numbers of shape {shape} for {key!r}", f"far more: {shorten(value)}")
    try:
        array = _real_numbers(value)
    except (TypeError, ValueError, OverflowError):
        raise record_error(path, record, f"numbers of shape {shape} for {key!r}", shorten(value)) from None
    if array.shape[: len(shape)] != shape or array.size != math.prod(shape):
        raise record_error(path, record, f"numbers of shape {shape} for {key!r}", f"shape {array.shape}")
    return array.reshape(shape)


def _real_numbers(value: Any) -> NDArray[np.float64]:
    """Return numbers or flags as an array; None, which stands for NaN, as such.

    Raises:
        TypeError, ValueError, OverflowError: There is something else: text, complex numbers, lists of unequal lengths.
    """
    array = np.asarray(value)
    if array.dtype.kind == "O" and all(part is None or isinstance(part, int | float) for part in array.flat):
        return array.astype(np.float64)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{array.dtype} in place of numbers")
    return array.astype(np.float64, copy=False)


def describe_usage(name: str, used: int, skipped: Mapping[str, int]) -> str:
    """Say how many samples are used and how many are skipped for which reason, the most frequent first.

    >>> describe_usage("Set", 61153, {"no valid joint": 87, "root invalid": 300})
    'Set: 61153 used, 387 skipped: root invalid 300, no valid joint 87'
    """
    reasons = sorted(((count, reason) for reason, count in skipped.items() if count), reverse=True)
    text = f"{name}: {used} used, {sum(count for count, _ in reasons)} skipped"
    return text + (": " + ", ".join(f"{reason} {count}" for count, reason in reasons) if reasons else "")
