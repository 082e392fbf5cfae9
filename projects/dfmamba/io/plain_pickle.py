"""Pickles of plain data: numbers, texts, containers and numpy's arrays. Nothing in them is run.

A pickle is a program that may call every function that it can name. Here it can name a few harmless ones, all of them
ours: numpy's own would follow what the pickle says about the memory of an array. What it makes is counted in bytes, and
keys are plain: to hash a tuple of 60 tuples, each of which names the one before it twice, takes forever. That needs
Python's own unpickler, which takes twice the time of the one in C: 3 s for the largest official file.
"""

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

PLAIN_KINDS = "biufSU"  # numpy's kinds: bool, integers, floating point, bytes and texts of a fixed width
FREE_BYTES, EXPANSION = 2**26, 16  # a pickle may make so many bytes, and so many times its own size in addition


_PythonUnpickler: Any = pickle._Unpickler


class PlainUnpickler(_PythonUnpickler):
    """Loads numbers, texts, plain containers and numpy's arrays; every other name is refused.

    What a pickle may call is built for each call, so that a pickle cannot change it for the next one.

    Args:
        content: The pickle.
    """

    dispatch: ClassVar[dict[int, Callable[["PlainUnpickler"], None]]] = dict(_PythonUnpickler.dispatch)

    def __init__(self, content: bytes) -> None:
        super().__init__(BytesIO(content), encoding="latin1")  # Python 2 wrote the bytes of arrays as texts
        self.bytes_left = FREE_BYTES + EXPANSION * len(content)

    def charge(self, num_bytes: int) -> None:
        """Count what the pickle makes."""
        self.bytes_left -= num_bytes
        if self.bytes_left < 0:
            raise pickle.UnpicklingError(f"data that unfold to more than {EXPANSION} times the size of the file")

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for `module.name` in a pickle of numpy 1 or 2, of Python 2 or 3."""
        place = module.replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        stand_in = plain_globals().get(f"{place}.{name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which is not plain data and is not loaded")
        if not callable(stand_in):
            return stand_in

        def call(*args: Any) -> Any:
            made = stand_in(*args)
            self.charge(_size_of(made))
            return made

        return call

    def load_build(self) -> None:
        """Give an array its state, which is a copy."""
        super().load_build()
        self.charge(_size_of(self.stack[-1]))

    def load_setitem(self) -> None:
        """Enter one item in a dictionary."""
        _check_new(self.stack[-3], self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Enter the items since the last mark in a dictionary."""
        _check_new(self.metastack[-1][-1], self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        """Make a dictionary of the items since the last mark."""
        _check_new({}, self.stack[::2])
        super().load_dict()

    def load_additems(self) -> None:
        """Enter the items since the last mark in a set."""
        _plain_keys(self.stack)
        super().load_additems()

    def load_frozenset(self) -> None:
        """Make a set of the items since the last mark."""
        _plain_keys(self.stack)
        super().load_frozenset()


# How many bytes the opcodes take that make a container of nothing, or of what is there already.
CONTAINER_OPCODES = {
    pickle.MARK: 64,
    pickle.EMPTY_LIST: 64,
    pickle.LIST: 64,
    pickle.EMPTY_DICT: 64,
    pickle.DICT: 64,
    pickle.EMPTY_SET: 256,
    pickle.TUPLE: 64,
    pickle.TUPLE1: 64,
    pickle.TUPLE2: 64,
    pickle.TUPLE3: 64,
}


def _charged(load: Callable[[PlainUnpickler], None], num_bytes: int) -> Callable[[PlainUnpickler], None]:
    """Return an opcode's function that also counts what it makes."""

    def load_and_charge(unpickler: PlainUnpickler) -> None:
        unpickler.charge(num_bytes)
        load(unpickler)

    return load_and_charge


OWN_OPCODES = (pickle.BUILD, pickle.SETITEM, pickle.SETITEMS, pickle.DICT, pickle.ADDITEMS, pickle.FROZENSET)
PlainUnpickler.dispatch |= {
    opcode[0]: getattr(PlainUnpickler, PlainUnpickler.dispatch[opcode[0]].__name__) for opcode in OWN_OPCODES
}
PlainUnpickler.dispatch |= {
    opcode[0]: _charged(PlainUnpickler.dispatch[opcode[0]], num_bytes)
    for opcode, num_bytes in CONTAINER_OPCODES.items()
}


def _size_of(made: Any) -> int:
    return made.nbytes if isinstance(made, np.ndarray) else sys.getsizeof(made)


def _plain_keys(keys: Iterable[Any]) -> list[Any]:
    """Return keys that are numbers, texts, None, or flat tuples of these."""
    keys = list(keys)
    for key in keys:
        if isinstance(key, tuple):
            if any(isinstance(part, tuple | frozenset) for part in key):
                raise pickle.UnpicklingError("a key of tuples in tuples, which is not plain data")
        elif isinstance(key, frozenset):
            raise pickle.UnpicklingError("a set as a key, which is not plain data")
    return keys


def _plain_pairs(items: Any) -> tuple[list[Any], list[Any]]:
    """Return keys and values of an ordered dictionary's items."""
    keys, values = [key for key, _ in items], [value for _, value in items]
    _check_new({}, keys)
    return keys, values


def _check_new(mapping: Any, keys: list[Any]) -> None:
    """Refuse keys that are not plain, or that come a second time."""
    _plain_keys(keys)
    if isinstance(mapping, dict) and (len(set(keys)) < len(keys) or any(key in mapping for key in keys)):
        raise pickle.UnpicklingError("a key that comes twice in one dictionary")


def plain_globals() -> dict[str, Any]:
    """Return all that a pickle of plain data may name, and what stands for it: inert functions, new ones each time."""
    return {
        "numpy.ndarray": "ndarray",  # only ever the first argument of `_reconstruct`
        "numpy.dtype": lambda code, *_: _PickledDtype(code),
        "numpy._core.multiarray._reconstruct": lambda *_: _PickledArray((0,)),  # its state follows
        "numpy._core.multiarray.scalar": lambda dtype, data: _plain_array(_as_bytes(data), dtype, ())[()],
        "numpy._core.numeric._frombuffer": lambda *args: _plain_array(*args).copy("K"),
        "_codecs.encode": lambda text, encoding: _as_bytes(text, encoding),
        "builtins.bytes": lambda *_: b"",  # protocol 2 calls it for the empty bytes only
        "builtins.bytearray": lambda *args: bytearray(_as_bytes(*args)) if args else bytearray(),
        "builtins.set": lambda items=(): set(_plain_keys(items)),
        "builtins.frozenset": lambda items=(): frozenset(_plain_keys(items)),
        "builtins.complex": lambda real, imaginary: complex(real, imaginary),
        "collections.OrderedDict": lambda items=(): OrderedDict(zip(*_plain_pairs(items), strict=True)),
    }


class _PickledDtype:
    """A type of numbers or texts. Of the state that follows it in a pickle only the order of bytes is taken.

    numpy's own types take flags from there that make it follow pointers in the data.
    """

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in PLAIN_KINDS or self.dtype.itemsize > 2**16:
            raise pickle.UnpicklingError(f"an array of the type {code!r}, which is not plain data of real numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *parts = state
        if any(part is not None for part in parts[:3]):
            raise pickle.UnpicklingError("an array of structures, which is not plain data")
        self.dtype = self.dtype.newbyteorder(order)


class _PickledArray(np.ndarray):
    """An array whose state in a pickle holds a `_PickledDtype`."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, data = state
        array = _plain_array(_as_bytes(data), dtype, shape, "F" if is_fortran else "C")
        whole = (1, array.shape, array.dtype, bool(is_fortran), array.tobytes("A"))
        super().__setstate__(whole)  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


def _as_bytes(text: str | bytes, encoding: str = "latin1") -> bytes:
    """Return the bytes that protocol 2 and Python 2 wrote as a text."""
    if isinstance(text, bytes):
        return text
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


def _plain_array(data: Any, dtype: _PickledDtype, shape: tuple[int, ...], order: str = "C") -> NDArray[Any]:
    """Return a view of bytes as an array."""
    return np.frombuffer(data, dtype=dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


PICKLED_TYPES = (_PickledDtype, _PickledArray)  # the types of stand-ins whose state follows in a pickle
