"""Pickles of plain data: numbers, texts, containers and numpy's arrays. Nothing in them is run.

A pickle is a program that may call every function that it can name. Here it can name a few harmless ones, all of them
ours: numpy's own would follow what the pickle says about the memory of an array. It can still ask for more memory than
there is.
"""

import pickle
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


class PlainUnpickler(pickle.Unpickler):
    """Loads numbers, texts, plain containers and numpy's arrays; every other name is refused.

    What a pickle may call is made anew for each call, so that a pickle cannot change it for the next one.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the bytes of arrays as texts

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for `module.name` in a pickle of numpy 1 or 2, of Python 2 or 3."""
        place = module.replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        allowed = plain_globals()
        if f"{place}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which is not plain data and is not loaded")
        return allowed[f"{place}.{name}"]


def plain_globals() -> dict[str, Any]:
    """Return all that a pickle of plain data may name, and what stands for it: inert functions of ours, made anew."""
    return {
        "numpy.ndarray": "ndarray",  # only ever the first argument of `_reconstruct`
        "numpy.dtype": lambda code, *_: _PickledDtype(code),
        "numpy._core.multiarray._reconstruct": lambda *_: _PickledArray((0,)),  # its state follows
        "numpy._core.multiarray.scalar": lambda dtype, data: _plain_array(_as_bytes(data), dtype, ())[()],
        "numpy._core.numeric._frombuffer": lambda *args: _plain_array(*args).copy("K"),
        "_codecs.encode": lambda text, encoding: _as_bytes(text, encoding),
        "builtins.bytes": lambda *_: b"",  # protocol 2 calls it for the empty bytes only
        "builtins.bytearray": lambda *args: bytearray(_as_bytes(*args)) if args else bytearray(),
        "builtins.set": lambda items=(): set(items),
        "builtins.frozenset": lambda items=(): frozenset(items),
        "builtins.complex": lambda real, imaginary: complex(real, imaginary),
        "collections.OrderedDict": lambda items=(): OrderedDict(items),
    }


class _PickledDtype:
    """A type of numbers or texts. Of the state that follows it in a pickle only the order of bytes is taken.

    numpy's own types take flags from there that make it follow pointers in the data.
    """

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.hasobject or self.dtype.itemsize > 2**16:
            raise pickle.UnpicklingError(f"an array of the type {code!r}, which is not plain data")

    def __setstate__(self, state: tuple) -> None:
        _, order, *parts = state
        if any(part is not None for part in parts[:3]):
            raise pickle.UnpicklingError("an array of structures, which is not plain data")
        self.dtype = self.dtype.newbyteorder(order)


class _PickledArray(np.ndarray):
    """An array whose state in a pickle holds a `_PickledDtype`."""

    def __setstate__(self, state: tuple) -> None:
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


def _plain_array(data: Any, dtype: _PickledDtype, shape: tuple[int, ...], order: str = "C") -> NDArray:
    """Return a view of bytes as an array."""
    return np.frombuffer(data, dtype=dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


PICKLED_TYPES = (_PickledDtype, _PickledArray)  # the types of stand-ins whose state follows in a pickle
