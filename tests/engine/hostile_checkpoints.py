"""Checkpoint files that would run code if they were loaded carelessly: each would make a file, the canary."""

import builtins
import collections
import functools
import io
import operator
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments, state=None):
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self):
        return (self.function, self.arguments, *([self.state] if self.state is not None else []))


def touch(canary: Path) -> str:
    return f"touch {canary}"


def python(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def pickled(value, protocol: int = 2) -> bytes:
    return pickle.dumps({"state_dict": {"layer.weight": value}, "meta": {"epoch": 1, "iter": 4}}, protocol)


def saved(**content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def with_program(program: bytes) -> bytes:
    """Return a file of torch.save whose pickle is another program."""
    buffer, source = io.BytesIO(), io.BytesIO(saved(state_dict={"layer.weight": torch.zeros(1)}))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


class StateRunsCode:
    """`__setstate__` of a class that a careless list of allowed names could hold."""

    def __setstate__(self, state):
        Path(state).touch()


def config_text(canary: Path) -> dict:
    text = f"import os\nos.system({touch(canary)!r})\ngpu_ids = [0]\n"
    return {
        "meta": {"epoch": 1, "iter": 4, "seed": 0, "config": text, "cfg": text},
        "optimizer": {},
        "param_schedulers": [],
        "state_dict": {"layer.weight": torch.zeros(1)},
        "message_hub": {"log_scalars": {}, "runtime_info": {"cfg": text}, "resumed_keys": {}},
    }


def state_runs_code(canary: Path) -> bytes:
    value = StateRunsCode()
    value.path = str(canary)
    return pickled(Calls(StateRunsCode, state=str(canary)))


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    **{
        f"os.system, protocol {number}": lambda canary, number=number: pickled(Calls(os.system, touch(canary)), number)
        for number in range(6)
    },
    "os.system in a file of torch.save": lambda canary: saved(state_dict=Calls(os.system, touch(canary))),
    "os.system beside good weights": lambda canary: saved(
        state_dict={"layer.weight": torch.zeros(63, 192)}, meta=Calls(os.system, touch(canary))
    ),
    "subprocess.call": lambda canary: saved(a=Calls(subprocess.call, ["touch", str(canary)])),
    "eval": lambda canary: saved(a=Calls(eval, python(canary))),
    "exec, by name": lambda canary: pickled(Calls(getattr(builtins, "exec"), python(canary)), 4),  # noqa: B009
    "open": lambda canary: saved(a=Calls(open, str(canary), "w")),
    "Path.touch": lambda canary: saved(a=Calls(Path.touch, canary)),
    "pickle.loads": lambda canary: saved(a=Calls(pickle.loads, pickle.dumps(Calls(os.system, touch(canary))))),
    "getattr of os": lambda canary: with_program(
        b"\x80\x02c__builtin__\ngetattr\ncos\n_wrap_close\nX\x08\x00\x00\x00__init__\x86R."
    ),
    "getattr chain through HistoryBuffer": lambda canary: with_program(
        b"\x80\x02c__builtin__\ngetattr\n(c__builtin__\ngetattr\n(cmmengine.logging.history_buffer\nHistoryBuffer\n"
        b"X\x08\x00\x00\x00__init__tRX\x0b\x00\x00\x00__globals__tR(X\x01\x00\x00\x00at."
    ),
    "getattr, its result called": lambda canary: with_program(
        b"\x80\x02c__builtin__\ngetattr\n(cmmengine.logging.history_buffer\nHistoryBuffer\nX\x06\x00\x00\x00updatetR"
        b"(X\x01\x00\x00\x00atR."
    ),
    "state of a history": lambda canary: saved(
        message_hub={
            "log_scalars": {"a": Calls(HistoryBuffer, state={"_log_history": Calls(os.system, touch(canary))})}
        }
    ),
    "BUILD with __setstate__": state_runs_code,
    "functools.partial": lambda canary: saved(a=Calls(functools.partial, os.system, touch(canary))),
    "operator.methodcaller": lambda canary: saved(a=Calls(operator.methodcaller("touch"), canary)),
    "Counter of a call": lambda canary: saved(a=collections.Counter({"a": Calls(os.system, touch(canary))})),
    "numpy array of objects": lambda canary: saved(a=np.array([Calls(os.system, touch(canary))], dtype=object)),
    "torch.load inside": lambda canary: saved(a=Calls(torch.load, str(canary))),
    "mmengine's Config.fromstring": lambda canary: saved(
        a=Calls(Config.fromstring, f"import os\nos.system({touch(canary)!r})\n", ".py")
    ),
    "INST opcode": lambda canary: f"(S'{touch(canary)}'\nios\nsystem\n.".encode(),
    "code as config text": lambda canary: saved(**config_text(canary)),
}
