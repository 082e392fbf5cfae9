"""Numbers from texts and from JSON, read strictly: what another program would read as another number is refused.

Python's `float` also takes `1_000`, digits of other scripts, `nan` and `infinity`; NumPy takes booleans, and texts, for
numbers. Here a number is written in the digits 0 to 9, with a point and an exponent if need be, and is smaller than
`TOO_LARGE`, so that squares and sums of such numbers stay finite in float32.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOO_LARGE = 1e9  # of a coordinate in mm: a thousand kilometres


class NotNumbersError(ValueError):
    """Something is no number; the message says what and where, to follow 'got'."""


def is_plain_number(text: str) -> bool:
    """Say whether a text is a number in plain digits; NaN and infinity are none.

    >>> [is_plain_number(text) for text in ("1", "-1.5e-3", ".5", "1_000", "nan", "1e999", "")]
    [True, True, True, False, False, False, False]
    """
    if not text.isascii() or "_" in text:
        return False
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def parse_plain_numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return numbers, written in plain digits and smaller than `TOO_LARGE`, as an array.

    Raises:
        NotNumbersError: One is not.
    """
    joined = "".join(texts)
    if joined.isascii() and "_" not in joined:  # by far the most: all at once
        try:
            numbers = np.array([float(text) for text in texts], dtype=np.float64)
            if (np.abs(numbers) < TOO_LARGE).all():
                return numbers
        except ValueError:
            pass
    place = next(
        place for place, text in enumerate(texts) if not is_plain_number(text) or abs(float(text)) >= TOO_LARGE
    )
    raise NotNumbersError(f"{texts[place]!r} as number {place + 1}")


def plain_array(value: Any, *, booleans: bool = False) -> NDArray[np.float64]:
    """Return a number, or nested lists of numbers, as an array; they are finite and smaller than `TOO_LARGE`.

    Args:
        value: What a JSON file holds, or an array of numbers.
        booleans: Take true and false for 1 and 0, as in a mask.

    Raises:
        NotNumbersError: The lists are ragged, or something in them is no such number.
    """
    if not isinstance(value, np.ndarray):
        kinds = {int, float, bool} if booleans else {int, float}
        items = [value]
        while any(isinstance(item, list | tuple) for item in items):
            items = list(chain.from_iterable(item if isinstance(item, list | tuple) else (item,) for item in items))
        if not set(map(type, items)) <= kinds:
            wrong = next(item for item in items if type(item) not in kinds)
            raise NotNumbersError(f"{str(wrong)[:60]!r}, {_kind_of(wrong)}, among them")
    elif value.dtype.kind not in ("iufb" if booleans else "iuf"):
        raise NotNumbersError(f"the type {value.dtype}")
    try:
        array = np.asarray(value, dtype=np.float64)
    except OverflowError:
        raise NotNumbersError("a number of more than 300 digits") from None
    except ValueError:
        raise NotNumbersError("lists of different lengths") from None
    wrong = ~(np.abs(array) < TOO_LARGE)  # NaN is wrong, too
    if wrong.any():
        raise NotNumbersError(f"{np.count_nonzero(wrong)} that are not, such as {array[wrong][0]:g}")
    return array


def _kind_of(value: Any) -> str:
    return {bool: "true or false", str: "a text", dict: "a dictionary", type(None): "null"}.get(
        type(value), f"a {type(value).__name__}"
    )
