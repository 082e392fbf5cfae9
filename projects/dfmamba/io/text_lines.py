"""Numbers in lines of text: what the readers of text formats share."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfmamba.io.numbers import NotNumbersError, parse_plain_numbers
from dfmamba.io.record_errors import place_error, require_file
from dfmamba.io.regular_files import open_text


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of each line; empty lines at the end are passed over.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no text, is empty, or has an empty line before other ones.
    """
    require_file(path)
    empty = 0
    number = 0
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    empty = empty or number
                    continue
                if empty:
                    raise place_error(path, f"line {empty}", "numbers", "an empty line")
                yield number, line.strip()
    except UnicodeDecodeError as error:
        raise place_error(
            path, f"after line {number}", "a text file", f"bytes that are no text ({error.reason})"
        ) from error
    if number == 0 or empty == 1:
        raise place_error(path, "line 1", "numbers", "an empty file")


def parse_numbers(path: Path, line: int, texts: Sequence[str], count: int) -> NDArray[np.float64]:
    """Return the finite numbers (count,) of a line.

    Raises:
        DataError: There are more or fewer, one is no number in plain digits, is NaN or infinite, or absurdly large.
    """
    if len(texts) != count:
        hint = ". Is the file cut short?" if len(texts) < count else ""
        raise place_error(path, f"line {line}", f"{count} numbers", f"{len(texts)}{hint}")
    try:
        return parse_plain_numbers(texts)
    except NotNumbersError as error:
        raise place_error(path, f"line {line}", f"{count} finite numbers in plain digits", error) from None


def is_number(text: str) -> bool:
    """Say whether a text is meant as a number, however it is written: the name of an image is none."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_unique(path: Path, place: str, identity: int | str, seen: dict[int | str, str]) -> None:
    """Remember the id of a sample.

    Args:
        path: The file, for the message.
        place: Where this sample is, for the message.
        identity: Its id.
        seen: The ids so far and their places; the new one is added.

    Raises:
        ValueError: The id is there already.
    """
    if identity in seen:
        raise place_error(path, place, f"each id once, and {identity!r} is in {seen[identity]}", f"{identity!r} again")
    seen[identity] = place
