"""Numbers in lines of text: what the readers of text formats share."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def fault(path: Path, place: object, expected: str, got: object) -> ValueError:
    """Return the error for a faulty place of a file, such as 'line 3' or 'sample 17'."""
    return ValueError(f"{path}: {place}: expected {expected}, got {got}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of each line; empty lines at the end are passed over.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no text, is empty, or has an empty line before other ones.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    empty = 0
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    empty = empty or number
                    continue
                if empty:
                    raise fault(path, f"line {empty}", "numbers", "an empty line")
                yield number, line.strip()
    except UnicodeDecodeError as error:
        raise fault(path, f"after line {number}", "a text file", f"bytes that are no text ({error.reason})") from error
    if number == 0 or empty == 1:
        raise fault(path, "line 1", "numbers", "an empty file")


def parse_numbers(path: Path, line: int, texts: Sequence[str], count: int) -> NDArray[np.float64]:
    """Return the finite numbers (count,) of a line.

    Raises:
        ValueError: There are more or fewer, one is no number, or one is NaN or infinite.
    """
    if len(texts) != count:
        hint = ". Is the file cut short?" if len(texts) < count else ""
        raise fault(path, f"line {line}", f"{count} numbers", f"{len(texts)}{hint}")
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        wrong = next(text for text in texts if not is_number(text))
        raise fault(path, f"line {line}", f"{count} numbers", f"{wrong!r} among them") from None
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise fault(path, f"line {line}", "finite numbers", f"{texts[place]!r} as number {place + 1}")
    return numbers


def is_number(text: str) -> bool:
    """Say whether a text is a number (also NaN and infinity)."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_unique(path: Path, place: str, identity: int | str, seen: dict[int | str, str]) -> None:
    """Remember the id of a sample.

    Args:
        path: The file, for the message.
        place: Where this sample is, likewise.
        identity: Its id.
        seen: The ids so far and their places; the new one is added.

    Raises:
        ValueError: The id is there already.
    """
    if identity in seen:
        raise fault(path, place, f"each id once, and {identity!r} is in {seen[identity]}", f"{identity!r} again")
    seen[identity] = place
