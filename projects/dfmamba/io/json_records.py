"""Large JSON files read one record at a time.

msgspec checks a file as a whole and leaves the records as text (`msgspec.Raw`) until they are decoded one by one. So a
file of a million records costs its own size and a little, where Python's `json` would make objects of ten times that.

msgspec takes the last one of two equal keys. Here they are refused in the dictionaries that a layout names, in all
below `Any`, and in the outer dictionary of a record that a `RecordDecoder` or `decode_entry` reads; not in what nobody
reads, nor in the structs of a list that is decoded with its file. That adds 1 us a record, and one look at the file.
"""

import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from dfmamba.io.json_files import RepeatedKeyError, unique_keys
from dfmamba.io.record_errors import broken_file, record_error
from dfmamba.io.regular_files import read_bytes, to_utf8

T = TypeVar("T")
DECODING_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)
# Python's `json` writes these words, which are no JSON. They never stand between such signs in the names of our files.
NOT_FINITE = re.compile(rb"(?<=[\s\[,:])-?(?:NaN|Infinity)(?=[\s\],}])")


class _Key:
    """A key of a dictionary that is equal to no other one, so that none replaces another."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_PAIRS = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=lambda _, name: _Key(name))


def read_json_as(path: Path, layout: type[T]) -> T:
    """Read a JSON file whose outer parts are like `layout` (a type that msgspec knows); NaN and Infinity become null.

    Raises:
        ValueError: The file is not complete, valid JSON, of another layout, or has a key twice (see the module's text).
    """
    data = read_bytes(path)
    try:
        data = to_utf8(data)
        try:
            content = msgspec.json.decode(data, type=layout)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            data = NOT_FINITE.sub(b"null", data)
            content = msgspec.json.decode(data, type=layout)
        _check_keys(data, layout)
        return content
    except msgspec.ValidationError as error:
        raise record_error(path, "-", "a file in the official layout", f"an error: {error}") from error
    except RepeatedKeyError as error:
        raise record_error(path, "-", "each key once", error) from error
    except DECODING_ERRORS as error:
        raise broken_file(path, "a complete JSON file", error) from error


def _check_keys(text: bytes | msgspec.Raw, layout: Any) -> None:
    """Refuse a dictionary that `layout` names, or one below `Any`, with a key twice."""
    if layout is Any:
        json.loads(bytes(text), object_pairs_hook=unique_keys)
    elif get_origin(layout) is dict:
        for inner in _unique_entries(text).values():
            _check_keys(inner, get_args(layout)[1])
    elif isinstance(layout, type) and issubclass(layout, msgspec.Struct):
        entries = _unique_entries(text)
        for field in msgspec.structs.fields(layout):
            if field.encode_name in entries:
                _check_keys(entries[field.encode_name], field.type)


def _unique_entries(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the entries of a dictionary, as texts.

    Raises:
        RepeatedKeyError: A key comes twice.
    """
    return unique_keys([(key.name, inner) for key, inner in _PAIRS.decode(text).items()])


def decode_entry(path: Path, record: object, text: msgspec.Raw, what: str) -> Any:
    """Return what the text of a record says, in Python's own types; `what` it is stands in messages.

    Raises:
        ValueError: It is a dictionary with a key twice, or nested too deep.
    """
    try:
        entry = msgspec.json.decode(text)
        if isinstance(entry, dict):
            _unique_entries(text)
        return entry
    except (*DECODING_ERRORS, RepeatedKeyError) as error:
        raise record_error(path, record, f"{what} in the official layout", f"an error: {error}") from error


class RecordDecoder:
    """Makes objects of records.

    Args:
        path: The file, for messages.
        what: "an image", for messages.
        decoder: Knows the type of the objects, a struct. Digits in quotes will do for numbers where it is not strict.
    """

    def __init__(self, path: Path, what: str, decoder: msgspec.json.Decoder[Any]) -> None:
        self.path, self.what, self.decoder = path, what, decoder
        names = [re.escape(field.encode_name.encode()) for field in msgspec.structs.fields(decoder.type)]
        self._keys = re.compile(rb'"(' + b"|".join(names) + rb')"\s*:|\\')

    def decode(self, number: int, raw: msgspec.Raw) -> Any:
        """Return the object of record `number` (from 0), whose text is `raw`.

        Raises:
            ValueError: A key is missing or comes twice, or a value has another type or length.
        """
        try:
            record = self.decoder.decode(raw)
            keys = self._keys.findall(raw)
            if len(keys) != len(set(keys)) or b"" in keys:  # b"" is a backslash: a key may be written in another way
                _unique_entries(raw)
            return record
        except (*DECODING_ERRORS, RepeatedKeyError) as error:
            raise record_error(
                self.path, self._name(number, raw), f"{self.what} in the official layout", f"an error: {error}"
            ) from error

    def _name(self, number: int, raw: msgspec.Raw) -> str:
        """Return the record's id, if it can be read at all, or its number."""
        try:
            return str(msgspec.json.decode(raw)["id"])
        except (*DECODING_ERRORS, KeyError, TypeError):
            return f"(number {number})"
