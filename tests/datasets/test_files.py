"""Hostile and broken files, each kind by name."""

import io
import json
import os
import pickle
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.io

from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.io import files, plain_pickle
from dfmamba.io.files import (
    check_relative_path,
    describe_usage,
    get_array,
    get_integer,
    get_key,
    get_text,
    read_mat,
    read_npz,
    read_pickle,
    read_yaml,
)
from dfmamba.io.json_files import read_json
from dfmamba.io.json_records import RecordDecoder, decode_entry, read_json_as


def refused(read, path, content, message):
    """The file is refused with an error that names it; nothing is left of what it tried."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
    assert not path.with_name("proof").exists()


def naming_each_other(depth):
    """Tuples, each of which names the one before it twice."""
    value = ()
    for _ in range(depth):
        value = (value, value)
    return value


# ---- pickles


PLAIN = {
    "numbers": {0: [1, 2.5, -(10**30), True, None, 3 + 4j]},
    "texts": ("a", b"b", b"", bytearray(b"c"), "ü"),
    "containers": [{1, 2}, frozenset({3}), OrderedDict(a=1), (1, (2,)), {}],
    "arrays": {
        "float": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 3), np.uint8),
        "text": np.array(["x", "yz"]),
        "bytes": np.array([b"x"]),
        "flags": np.array([True]),
        "swapped": np.arange(3, dtype=">i4"),
    },
    "scalars": [np.float32(1.5), np.int64(7), np.bool_(True), np.float64(2.5)],
    "shared": (lambda array: [array, array])(np.arange(3)),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_pickle(tmp_path, name, protocol):
    content = [item for item in PLAIN[name] if not isinstance(item, bytearray)] if name == "texts" else PLAIN[name]
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(content, protocol))
    result = read_pickle(tmp_path / "a.pickle")
    np.testing.assert_equal(result, content)
    if name == "arrays":
        for key, array in result.items():
            assert array.dtype.newbyteorder("=") == content[key].dtype.newbyteorder("=")
            assert array.flags.f_contiguous == content[key].flags.f_contiguous
            array[...] = array  # it may be written to
        again = pickle.loads(pickle.dumps(result))  # as plain arrays
        np.testing.assert_equal(again, content)
        assert {type(array) for array in again.values()} == {np.ndarray}


def test_pickle_of_python_2_and_numpy_1(tmp_path):
    """As RHD's: written by Python 2, so that the bytes of an array are a text, and modules have their old names."""
    content = (
        b"\x80\x02}q\x00K\x05cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02"
        b"K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x03U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + struct.pack("<2f", 1.5, -2.0) + b"tbs."
    )
    (tmp_path / "a.pickle").write_bytes(content)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pickle")[5], np.float32([1.5, -2.0]))


class Call:
    """A pickle of it calls a function when it is loaded."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call


def proof():
    Path("proof").write_text("code has run")


class Own:
    pass


HOSTILE_PICKLES = {
    "system command": (lambda: pickle.dumps(Call(os.system, "touch proof")), r"the name (posix|nt)\.system"),
    "eval": (lambda: pickle.dumps(Call(eval, "open('proof', 'w')")), r"the name builtins\.eval"),
    "exec of Python 2": (lambda: pickle.dumps(Call(exec, "x = 1"), 2), r"the name __builtin__\.exec"),
    "getattr": (lambda: pickle.dumps(Call(getattr, "", "join")), r"the name builtins\.getattr"),
    "open": (lambda: pickle.dumps(Call(open, "proof", "w")), r"the name _?io\.open"),
    "import": (lambda: pickle.dumps(Call(__import__, "os")), r"the name builtins\.__import__"),
    "code of a module of ours": (lambda: pickle.dumps(proof), r"the name .*proof"),
    "object of a class": (lambda: pickle.dumps(Own()), "Own, which is not plain data"),
    "nested in plain data": (lambda: pickle.dumps({"a": [1, Call(os.system, "touch proof")]}), "system"),
    "dotted name": (lambda: b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", r"numpy\.ndarray\.__class__"),
    "dunder of an allowed name": (lambda: b"\x80\x04\x8c\x05numpy\x8c\x08__dict__\x93.", "numpy.__dict__"),
    "numpy's own pickle loader": (lambda: b"cnumpy\nload\n(S'x'\ntR.", r"the name numpy\.load"),
    "numpy's pickle in an array": (lambda: pickle.dumps(np.array([Own()])), "type 'O8?', which is not plain data|Own"),
    "array of objects": (lambda: pickle.dumps(np.array([None, 1])), "which is not plain data"),
    "array of structures with objects": (lambda: pickle.dumps(np.zeros(1, dtype=[("a", "O")])), "complete pickle"),
    "type whose flags make numpy follow pointers": (
        lambda: pickle.dumps(np.zeros(1, "V8"), 2).replace(b"K\x08K\x01K\x00", b"K\x08K\x01K\x3f"),
        "type 'V8', which is not plain data",
    ),
    "array call": (lambda: b"cnumpy\nndarray\n((I99999999999\ntR.", "complete pickle of plain data"),
    "array with less data than its shape": (
        lambda: pickle.dumps(np.arange(4)).replace(b"K\x04\x85", b"K\x09\x85", 1),
        "complete pickle of plain data",
    ),
    "persistent object": (lambda: b"\x80\x02X\x01\x00\x00\x00xQ.", "complete pickle of plain data"),
    "extension code": (lambda: b"\x80\x02\x82\x01.", "complete pickle of plain data"),
    "text longer than the file": (lambda: b"\x80\x04\x8d\xff\xff\xff\xff\xff\x00\x00\x00abc.", "complete pickle"),
    "cut short": (lambda: pickle.dumps(PLAIN["arrays"])[:-20], "complete pickle.*cut short"),
    "empty": (lambda: b"", "complete pickle"),
    "no pickle": (lambda: b"\x89PNG\r\n", "complete pickle"),
    "later protocol": (lambda: b"\x80\x63.", "complete pickle"),
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_hostile_pickle(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make, message = HOSTILE_PICKLES[name]
    refused(read_pickle, tmp_path / "a.pickle", make(), message)


def test_pickle_cannot_change_what_the_next_may_call(tmp_path):
    """BUILD on an allowed function sets attributes of it."""
    (tmp_path / "a.pickle").write_bytes(b"\x80\x02cbuiltins\nset\n}X\x01\x00\x00\x00aK\x01sb0K\x01.")
    read_pickle(tmp_path / "a.pickle")
    (tmp_path / "b.pickle").write_bytes(pickle.dumps({1, 2}, 2))
    assert read_pickle(tmp_path / "b.pickle") == {1, 2}
    assert not hasattr(set, "a")


def call(name, *args):
    """The opcodes of a call."""
    return b"c" + name + b"\n(" + b"".join(args) + b"tR"


EXPANDING_PICKLES = {
    "tuples in tuples": (pickle.dumps(naming_each_other(60)), "at most 32 containers in one another"),
    "tuples in a dictionary": (pickle.dumps({1: naming_each_other(30)}), "at most 50000000 items"),
    "tuples as a key": (b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.", "a key of tuples in tuples"),
    "tuples as one of many keys": (b"\x80\x02}(K\x01K\x01)" + b"2\x86" * 60 + b"K\x01u.", "a key of tuples in tuples"),
    "tuples in a set": (b"\x80\x04\x8f()" + b"2\x86" * 60 + b"\x90.", "a key of tuples in tuples"),
    "tuples in a frozen set": (b"\x80\x04()" + b"2\x86" * 60 + b"\x91.", "a key of tuples in tuples"),
    "tuples in a set of Python 2": (
        b"\x80\x02" + call(b"__builtin__\nset", b"])" + b"2\x86" * 60 + b"a") + b".",
        "a key of tuples in tuples",
    ),
    "sets in sets": (b"\x80\x04(((\x91\x91\x91.", "a set as a key"),
    "itself": (b"\x80\x02]q\x00h\x00a.", "contains itself"),
    "copies of a text": (
        b"\x80\x02X"
        + struct.pack("<I", 2**21)
        + b"a" * 2**21
        + b"q\x000"
        + call(b"__builtin__\nbytearray", b"h\x00X\x06\0\0\0latin1") * 1000
        + b".",
        "unfold to more than 16 times the size of the file",
    ),
    "copies of an array": (
        b"\x80\x03B"
        + struct.pack("<I", 2**21)
        + b"a" * 2**21
        + b"q\x000cnumpy\ndtype\n"
        + b"X\x02\0\0\0u1\x85Rq\x010"
        + call(
            b"numpy.core.numeric\n_frombuffer",
            b"h\x00",
            b"h\x01",
            b"J" + struct.pack("<I", 2**21) + b"\x85",
            b"X\x01\0\0\0C",
        )
        * 100
        + b".",
        "unfold to more than 16 times the size of the file",
    ),
    "empty lists": (b"\x80\x02" + b"]" * 2**17 + b".", "unfold to more than 16 times the size of the file"),
    "memory for names": (b"\x80\x02Nr\xff\xff\xff\xff.", None),
    "deep": (b"\x80\x02N" + b"\x85" * 10**4 + b".", "at most 32 containers"),
}


@pytest.mark.parametrize("name", EXPANDING_PICKLES)
def test_pickle_that_unfolds(tmp_path, monkeypatch, name):
    monkeypatch.setattr(plain_pickle, "FREE_BYTES", 2**20)
    content, message = EXPANDING_PICKLES[name]
    start = time.perf_counter()
    tracemalloc.start()
    try:
        if message is None:
            (tmp_path / "a.pickle").write_bytes(content)
            read_pickle(tmp_path / "a.pickle")
        else:
            refused(read_pickle, tmp_path / "a.pickle", content, message)
        assert tracemalloc.get_traced_memory()[1] < 2**28  # the peak, in bytes
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    "content", [b"\x80\x02}(K\x01K\x02K\x01K\x03u.", b"\x80\x02}K\x01K\x02sK\x01K\x03s.", b"(I1\nI2\nI1\nI3\nd."]
)
def test_pickle_with_a_key_twice(tmp_path, content):
    assert pickle.loads(content) == {1: 3}
    refused(read_pickle, tmp_path / "a.pickle", content, "a key that comes twice in one dictionary")


@pytest.mark.parametrize(
    "array",
    [np.array([1j]), np.zeros(2, "c8"), np.array([(1, 2)], dtype="i4,i4"), np.array(["2026-01-01"], dtype="M8[D]")],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickle_of_other_arrays_than_real_ones(tmp_path, array, protocol):
    refused(read_pickle, tmp_path / "a.pickle", pickle.dumps({"a": array}, protocol), "not plain data")


# ---- YAML


def test_plain_yaml_with_tuples(tmp_path):
    (tmp_path / "a.yml").write_text("extrinsics:\n  '8': !!python/tuple\n  - 1.0\n  - !!python/tuple [2, 3]\nname: x\n")
    assert read_yaml(tmp_path / "a.yml") == {"extrinsics": {"8": (1.0, (2, 3))}, "name": "x"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_yaml_and_json_of_windows(tmp_path, encoding):
    (tmp_path / "a").write_text('{"a": ["ü", 1e-05, -2.5E+3]}', encoding=encoding)
    for read in (read_yaml, read_json, lambda path: read_json_as(path, dict[str, Any])):
        assert read(tmp_path / "a") == {"a": ["ü", 1e-05, -2500.0]}


HOSTILE_YAML = {
    "system command": (b"!!python/object/apply:os.system ['touch proof']", "python/object/apply:os.system"),
    "constructor": (b"!!python/object/new:os.system ['touch proof']", "python/object/new"),
    "name": (b"a: !!python/name:os.system", "python/name:os.system"),
    "module": (b"a: !!python/module:os", "python/module:os"),
    "object in a tuple": (b"!!python/tuple [!!python/object/apply:os.getcwd []]", "python/object/apply:os.getcwd"),
    "own tag": (b"!secret 5", "!secret"),
    "tuple of no list": (b"!!python/tuple 5", "YAML file of plain data"),
    "no YAML": (b"a: [1, 2", "YAML file of plain data"),
    "nested": (b"[" * 10**5, "YAML file of plain data"),
    "no text": (b"a: \xff\xfe", "YAML file of plain data"),
    "key twice": (b"a: 1\nb: 2\na: 3\n", "the key 'a' twice in one mapping"),
    "key twice inside": (b"a: [{b: 1, 'b': 2}]", "the key 'b' twice in one mapping"),
    "merge key": (b"a: &a {b: 1}\nc: {<<: *a, d: 2}\n", "the merge key '<<'"),
    "merge keys of merge keys": (
        b"a0: &a0 {x: 1}\n"
        + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)),
        "the merge key",
    ),
    "lists that name each other": (
        b"- &a0 [1]\n" + b"".join(b"- &a%d [%s]\n" % (i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 11)),
        "at most 1000000 items",
    ),
    "tuples that name each other as a key": (
        b"- &a0 !!python/tuple [1]\n"
        + b"".join(b"- &a%d !!python/tuple [*a%d, *a%d]\n" % (i, i - 1, i - 1) for i in range(1, 60))
        + b"- {? *a59 : 1}\n",
        "a key that is not a single value",
    ),
    "itself": (b"&a [*a]", "contains itself"),
    "large": (b"#" * (2**18 + 1), "at most 262144 bytes"),
    "unhashable key": (b"? [1, {a: 2}]\n: 5", "YAML file of plain data"),
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE_YAML[name]
    refused(read_yaml, tmp_path / "a.yml", content, message)


# ---- .npz and .mat


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npz_with_header(shape):
    """An archive whose only array says that it has this shape, with the data of one number."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<f8", "fortran_order": False, "shape": shape})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", array.getvalue() + bytes(8))
    return buffer.getvalue()


def test_plain_npz(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz(a=np.arange(3), b=np.eye(2), c=np.array("x")))
    assert list(read_npz(tmp_path / "a.npz")) == ["a", "b", "c"]
    some = read_npz(tmp_path / "a.npz", ["b", "missing"])
    assert list(some) == ["b"]
    np.testing.assert_array_equal(some["b"], np.eye(2))


def npz_with_array_twice():
    buffer = io.BytesIO(npz(a=np.arange(3)))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.npy", archive.read("a.npy"))
    return buffer.getvalue()


HOSTILE_NPZ = {
    "array twice": (npz_with_array_twice, "the array 'a' twice"),
    "complex": (lambda: npz(a=np.array([1j])), "complex128 in place of real numbers in 'a'"),
    "structures": (lambda: npz(a=np.zeros(1, "i4,f4")), "in place of real numbers in 'a'"),
    "pickle in an array": (lambda: npz(a=np.array([Call(os.system, "touch proof")])), "Object arrays cannot be loaded"),
    "array of objects": (lambda: npz(a=np.array([None])), "Object arrays cannot be loaded"),
    "more bytes than allowed": (lambda: npz(a=np.zeros(200_000)), "arrays of 16[0-9]* bytes, more than 1000000"),
    "shape without data": (lambda: npz_with_header((1000,)), "complete .npz"),
    "shape beyond all memory": (lambda: npz_with_header((10**15,)), "complete .npz"),
    "negative shape": (lambda: npz_with_header((-5,)), "complete .npz"),
    "cut short": (lambda: npz(a=np.arange(1000))[:-100], "complete .npz.*cut short"),
    "damaged inside": (lambda: npz(a=np.arange(1000))[:500] + b"xxxx" + npz(a=np.arange(1000))[504:], "complete .npz"),
    "pickle under another name": (lambda: pickle.dumps(Call(os.system, "touch proof")), "complete .npz"),
    "empty": (lambda: b"", "complete .npz"),
}


@pytest.mark.parametrize("name", HOSTILE_NPZ)
def test_hostile_npz(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 10**6)
    make, message = HOSTILE_NPZ[name]
    refused(read_npz, tmp_path / "a.npz", make(), message)


def mat(**arrays):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


def test_plain_mat(tmp_path):
    cells = np.array([{}, 1], dtype=object)
    (tmp_path / "a.mat").write_bytes(mat(joints=np.arange(24.0).reshape(2, 3, 4), cells=cells))
    result = read_mat(tmp_path / "a.mat", ["joints"])  # what is not asked for does not matter
    np.testing.assert_array_equal(result["joints"], np.arange(24.0).reshape(2, 3, 4))


def mat_with_array_twice():
    first, second = mat(joints=np.eye(2)), mat(joints=np.eye(3))
    return first + second[128:]


def mat_that_unfolds():
    """Says that it is 2 by 2, and holds 5 MB of zeros in 5 kB."""
    inside = io.BytesIO()
    scipy.io.savemat(inside, {"joints": np.zeros(625_000)}, do_compression=False)
    content = bytearray(inside.getvalue()[128:])
    place = content.index(struct.pack("<2i", 1, 625_000))
    content[place : place + 8] = struct.pack("<2i", 2, 2)
    packed = zlib.compress(bytes(content), 9)
    return inside.getvalue()[:128] + struct.pack("<2i", 15, len(packed)) + packed


HOSTILE_MAT = {
    "array twice": (mat_with_array_twice, "the array 'joints' twice"),
    "complex": (lambda: mat(joints=np.array([1j])), "complex128 in place of real numbers in 'joints'"),
    "more bytes than its shape": (mat_that_unfolds, "arrays of [0-9]* bytes, more than 1000000"),
    "cells": (lambda: mat(joints=np.array([[1, "a"]], dtype=object)), "'joints', which is a cell, structure or object"),
    "structure": (lambda: mat(joints={"a": 1}), "'joints', which is a cell, structure or object"),
    "variable missing": (lambda: mat(other=np.eye(2)), r"no variable \['joints'\], only \['other'\]"),
    "more bytes than allowed": (lambda: mat(joints=np.zeros(200_000)), "arrays of 16000.. bytes, more than 1000000"),
    "more bytes than allowed once read": (
        lambda: mat(joints=np.zeros(200_000, dtype=np.uint8)),  # 8 bytes a number, whatever the file keeps it as
        "arrays of 1600000 bytes, more than 1000000",
    ),
    "cut short": (lambda: mat(joints=np.arange(10**4) % 77.0)[:-200], "complete MATLAB file"),
    "version 7.3": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(600), "complete MATLAB file"),
    "empty": (lambda: b"", "complete MATLAB file"),
    "pickle": (lambda: pickle.dumps(Call(os.system, "touch proof")), "complete MATLAB file"),
}


@pytest.mark.parametrize("name", HOSTILE_MAT)
def test_hostile_mat(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 10**6)
    make, message = HOSTILE_MAT[name]
    refused(lambda path: read_mat(path, ["joints"]), tmp_path / "a.mat", make(), message)


# ---- JSON


class Outer(msgspec.Struct):
    images: list[msgspec.Raw]
    frames: dict[str, dict[str, msgspec.Raw]] = {}


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ('{"images": [], "images": [1]}', "images"),
        ('{"images": [], "unknown": 1, "unknown": 2}', "unknown"),
        ('{"images": [], "frames": {"0": {}, "0": {"1": 2}}}', "0"),
        ('{"images": [], "frames": {"0": {"1": 2, "1": 3}}}', "1"),
        ('{"images": [], "frames": {"0": {"a": 2, "\\u0061": 3}}}', "a"),
    ],
)
def test_key_twice(tmp_path, content, key):
    refused(read_json, tmp_path / "a.json", content.encode(), f"the key '{key}' twice in one dictionary")
    for mark in (b"", b"\xef\xbb\xbf"):
        refused(
            lambda path: read_json_as(path, Outer),
            tmp_path / "a.json",
            mark + content.encode(),
            f"each key once, got the key '{key}' twice in one dictionary",
        )
    refused(lambda path: read_json_as(path, dict[str, Any]), tmp_path / "a.json", content.encode(), f"'{key}' twice")
    (tmp_path / "a.json").write_text('{"images": [{"a": 1, "a": 2}], "frames": {"0": {"1": 2}, "1": {"1": 3}}}')
    content = read_json_as(tmp_path / "a.json", Outer)  # a record is for whoever decodes it
    assert content.frames["1"]["1"] == msgspec.Raw(b"3")


class Inner(msgspec.Struct):
    id: int
    name: str = ""


@pytest.mark.parametrize("text", ['{"id": 1, "id": 2}', '{"id": 1, "name": "", "id" : 1}', '{"id": 1, "\\u0069d": 2}'])
def test_key_twice_in_a_record(text):
    raw = msgspec.Raw(text.encode())
    decoder = RecordDecoder(Path("f"), "a thing", msgspec.json.Decoder(Inner))
    with pytest.raises(ValueError, match=r"f: record [12]: expected a thing .* got an error: the key 'id' twice"):
        decoder.decode(5, raw)
    with pytest.raises(ValueError, match=r"f: record 7: expected a thing .* got an error: the key 'id' twice"):
        decode_entry(Path("f"), 7, raw, "a thing")


@pytest.mark.parametrize(
    "text", ['{"id": 1, "name": "a\\\\b"}', '{"id": 1, "x": {"id": 2}}', '{"name": "\\"id\\": ", "id": 1}']
)
def test_key_once_in_a_record(text):
    decoder = RecordDecoder(Path("f"), "a thing", msgspec.json.Decoder(Inner))
    assert decoder.decode(5, msgspec.Raw(text.encode())).id == 1
    assert decode_entry(Path("f"), 7, msgspec.Raw(text.encode()), "a thing")["id"] == 1


@pytest.mark.parametrize(
    "content", [b'{"images": [{"a": [', b'{"images": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", b"", b"\xff\xfe{"]
)
def test_broken_json_for_records(tmp_path, content):
    refused(lambda path: read_json_as(path, Outer), tmp_path / "a.json", content, "expected a complete JSON file")


@pytest.mark.parametrize("content", [b"", b'{"a": [1, 2', b"{}}", b"[" * 10**6, b"\xff\xfe", b"a: 1"])
def test_broken_json(tmp_path, content):
    refused(read_json, tmp_path / "a.json", content, "expected a complete JSON file.*cut short")


def test_json_hook(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": [{"b": 1}]}))
    assert read_json(tmp_path / "a.json") == {"a": [{"b": 1}]}
    assert read_json(tmp_path / "a.json", lambda record: sorted(record)) == ["a"]


# ---- names of files


@pytest.mark.parametrize(
    "name",
    [
        "image.jpg",
        "Capture0/0001_fist/cam400001/image3.png",
        "a/./b.png",
        "a/../b.png",
        ".hidden",
        "with space/ä.png",
        "a..b/c...png",
        "C/image.png",
        "-5.png",
        "CON/aux.png",
        "a.png ",
        "日本/画像.png",
    ],
)
def test_name_inside_the_folder(name):
    assert check_relative_path(Path("file"), 5, name) == name


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("Capture0\\cam1\\image3.png", "Capture0/cam1/image3.png"),
        ("a\\b/c.png", "a/b/c.png"),
        ("a\\..\\b", "a/../b"),
    ],
)
def test_name_with_separators_of_windows(name, result):
    assert check_relative_path(Path("file"), 5, name) == result


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../../b",
        "a/b/../../../c",
        "/etc/passwd",
        "//server/share",
        "C:/a",
        "C:a",
        "c:\\a",
        "\\windows\\a",
        "..\\a",
        "a\\..\\..\\b",
        "\\\\server\\share\\a",
        "a\0b",
        "a/..",
        "a" * 501,
        "~/../../a",
        "a/" * 300,
    ],
)
def test_name_that_leads_out(name):
    with pytest.raises(ValueError, match="file: record 5: expected a relative file name that stays in the folder"):
        check_relative_path(Path("file"), 5, name)


READERS = {
    "json": read_json,
    "records": lambda path: read_json_as(path, dict[str, Any]),
    "pickle": read_pickle,
    "yaml": read_yaml,
    "npz": read_npz,
    "mat": read_mat,
}


@pytest.mark.parametrize("name", READERS)
def test_no_file(tmp_path, name):
    read = READERS[name]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected a file, got a folder$"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe: expected a file, got a pipe \(FIFO\)$"):
        read(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"/dev/zero: expected a file, got a device$"):
        read(Path("/dev/zero"))


# ---- records


def test_faults_are_raised_or_counted():
    with pytest.raises(ValueError, match="broken"):
        RecordErrorPolicy().add(ValueError("broken"))
    faults = RecordErrorPolicy("skip")
    assert faults.skipped == {}
    for number in range(5):
        faults.add(ValueError(f"broken {number}"))
    assert faults.skipped == {"faulty record": 5}
    with pytest.raises(ValueError, match=r"faulty: expected one of \('raise', 'skip'\), got 'ignore'"):
        RecordErrorPolicy("ignore")


def test_only_the_first_faults_are_logged(log):
    faults = RecordErrorPolicy("skip")
    for number in range(8):
        faults.add(ValueError(f"broken {number}"))
    assert "broken 0" in log.text
    assert "broken 4; further ones are only counted" in log.text
    assert "broken 5" not in log.text


@pytest.mark.parametrize(("value", "result"), [(5, 5), ("5", 5), (True, 1), (-7, -7)])
def test_integer(value, result):
    assert get_integer(Path("f"), 1, {"a": value}, "a") == result


@pytest.mark.parametrize("value", ["x", None, [1], float("nan"), float("inf"), 10**30])
def test_no_integer(value):
    with pytest.raises(ValueError, match="f: record 1: expected an integer for 'a', got"):
        get_integer(Path("f"), 1, {"a": value}, "a")


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        [[1, 2, 3]],
        [1, [2], 3],
        "abc",
        None,
        {"a": 1},
        [1, 2, "x"],
        ["1", "2", "3"],
        [1, 2, 3j],
        np.zeros(3, "c8"),
        np.array(["1", "2", "3"]),
        np.zeros(3, "f4,f4"),
        np.array([b"1", b"2", b"3"]),
        [1, 2, 10**400],
        [[1], [2, 3], [4]],
    ],
)
def test_no_array(value):
    with pytest.raises(ValueError, match=r"f: record 1: expected numbers of shape \(3,\) for 'a', got"):
        get_array(Path("f"), 1, {"a": value}, "a", (3,))


@pytest.mark.parametrize(
    "value", [[1, None, 2.5], (True, None, False), np.array([1, 2, 3], dtype=">i2"), [1, 10**25, 2]]
)
def test_array(value):
    expected = [float("nan") if part is None else float(part) for part in value]
    result = get_array(Path("f"), 1, {"a": value}, "a", (3,))
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.float64


@pytest.mark.parametrize("value", ["a", "ü" * 500, "0001_fist", " "])
def test_text(value):
    assert get_text(Path("f"), 1, {"a": value}, "a") == value


@pytest.mark.parametrize("value", ["", "a" * 501, "a" * 2**22, "a\0b", "\ud800", 5, None, ["a"]])
def test_no_text(value):
    with pytest.raises(ValueError, match="f: record 1: expected a text of 1 to 500 characters for 'a', got") as error:
        get_text(Path("f"), 1, {"a": value}, "a")
    assert len(str(error.value)) < 300
    str(error.value).encode()


def test_array_of_far_too_many_numbers_is_not_made():
    value = 1.0
    for _ in range(20):
        value = [value] * 20
    with pytest.raises(ValueError, match=r"record 1: expected numbers of shape \(3,\) for 'a', got far more") as error:
        get_array(Path("f"), 1, {"a": value}, "a", (3,))
    assert len(str(error.value)) < 300


def test_array_may_have_more_axes_of_length_1():
    assert get_array(Path("f"), 1, {"a": [[1], [2], [3]]}, "a", (3,)).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("mapping", "got"), [({"b": 1}, r"the keys \['b'\]"), ([1], "a list"), (None, "a NoneType")])
def test_no_key(mapping, got):
    with pytest.raises(ValueError, match=f"f: record 1: expected the key 'a', got {got}"):
        get_key(Path("f"), 1, mapping, "a")


def test_usage():
    assert describe_usage("Set", 3, {}) == "Set: 3 used, 0 skipped"
    assert describe_usage("Set", 3, {"a": 0, "b": 2, "c": 5}) == "Set: 3 used, 7 skipped: c 5, b 2"
    assert sys.getrecursionlimit() >= 1000  # the nested files above were refused, not survived by a raised limit
