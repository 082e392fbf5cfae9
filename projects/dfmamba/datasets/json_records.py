"""Large JSON files read one record at a time.

msgspec checks a file as a whole and leaves the records as text (`msgspec.Raw`) until they are decoded one by one. So a
file of a million records costs its own size and a little, where Python's `json` would make objects of ten times that.
"""

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from dfmamba.datasets.files import broken_file, fault

T = TypeVar("T")
DECODING_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Python's `json` writes these words, which are no JSON. They never stand between such signs in the names of our files.
NOT_FINITE = re.compile(rb"(?<=[\s\[,:])-?(?:NaN|Infinity)(?=[\s\],}])")


def read_json_as(path: Path, layout: type[T]) -> T:
    """Read a JSON file whose outer parts are like `layout` (a type that msgspec knows); NaN and Infinity become null.

    Raises:
        ValueError: The file is not complete, valid JSON, or of another layout.
    """
    data = path.read_bytes()
    try:
        try:
            return msgspec.json.decode(data, type=layout)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return msgspec.json.decode(NOT_FINITE.sub(b"null", data), type=layout)
    except msgspec.ValidationError as error:
        raise fault(path, "-", "a file in the official layout", f"a fault: {error}") from error
    except DECODING_ERRORS as error:
        raise broken_file(path, "a complete JSON file", error) from error


class RecordDecoder(msgspec.Struct, frozen=True):
    """Makes objects of records.

    Attributes:
        path: The file, for messages.
        what: "an image", likewise.
        decoder: Knows the type of the objects. Digits in quotes will do for numbers where it is not strict.
    """

    path: Path
    what: str
    decoder: msgspec.json.Decoder

    def decode(self, number: int, raw: msgspec.Raw) -> object:
        """Return the object of record `number` (from 0), whose text is `raw`.

        Raises:
            ValueError: A key is missing, or a value has another type or length.
        """
        try:
            return self.decoder.decode(raw)
        except DECODING_ERRORS as error:
            raise fault(self.path, self._name(number, raw), f"{self.what} in the official layout",
                        f"a fault: {error}") from error

    def _name(self, number: int, raw: msgspec.Raw) -> str:
        """Return the record's id, if it can be read at all, or its number."""
        try:
            return str(msgspec.json.decode(raw)["id"])
        except (*DECODING_ERRORS, KeyError, TypeError):
            return f"(number {number})"
