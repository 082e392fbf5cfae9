"""Numbers that other programs would read in another way are refused, in texts and in JSON."""

import doctest

import numpy as np
import pytest

import dfmamba.io.numbers
from dfmamba.io.numbers import NotNumbersError, is_plain_number, parse_plain_numbers, plain_array

ODD = [
    "1_000",
    "\u0661",
    "\uff11",
    "1,5",
    "1.0.0",
    "0x1F",
    "1+2j",
    "nan",
    "inf",
    "-Infinity",
    "1e999",
    "",
    " ",
    "--1",
    "1e",
    "\u00bd",
    "TRUE",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_no_numbers(text):
    assert not is_plain_number(text)
    with pytest.raises(NotNumbersError) as error:
        parse_plain_numbers(["1", text, "2"])
    assert str(error.value) == f"{text!r} as number 2"


@pytest.mark.parametrize("text", ["1e308", "-1e9", "1000000000"])
def test_absurdly_large_numbers_are_refused(text):
    with pytest.raises(NotNumbersError, match="as number 3"):
        parse_plain_numbers(["1", "2", text])
    with pytest.raises(NotNumbersError, match="1 that are not, such as"):
        plain_array([1, 2, float(text)])


def test_plain_texts_are_read_exactly():
    assert parse_plain_numbers(["1", "-2.5", "+3e-2", ".5", "7.", " 8 ", "0.1"]).tolist() == [
        1,
        -2.5,
        0.03,
        0.5,
        7,
        8,
        0.1,
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "'True', true or false, among them"),
        ([[1, 2], [3, False]], "'False', true or false"),
        (["1", 2], "'1', a text"),
        ("1", "'1', a text"),
        (None, "'None', null"),
        ([[1, None]], "'None', null"),
        ({"x": 1}, "a dictionary"),
        ([[1, 2], [3]], "lists of different lengths"),
        ([[1, 2], 3], "lists of different"),
        ([1, float("nan")], "1 that are not, such as nan"),
        (10**400, "more than 300 digits"),
        (np.array([1j]), "the type complex128"),
        (np.array([True]), "the type bool"),
        (np.array([None]), "the type object"),
    ],
)
def test_what_is_no_number_is_named(value, message):
    with pytest.raises(NotNumbersError, match=message):
        plain_array(value)


def test_numbers_come_as_float64():
    assert plain_array([[1, 2.5], [3, 4]]).tolist() == [[1, 2.5], [3, 4]]
    assert plain_array(np.array([[7]], dtype=np.uint8)).dtype == np.float64
    assert plain_array([True, 0], booleans=True).tolist() == [1, 0]


def test_examples_in_docstrings():
    assert doctest.testmod(dfmamba.io.numbers).failed == 0
