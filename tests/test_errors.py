"""Which errors are told in one message, from this process and from the workers of a data loader."""

import doctest
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

import dfmamba.errors
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.errors import DataError, StoppedError, UserError, message_for_user, run_tool
from dfmamba.geometry import look_at

TREE = "no such folder: /data\nExpected below data_root:\n  annotations/\n  images/"


def chained():
    try:
        raise KeyError("a")
    except KeyError as error:
        raise FileNotFoundError(TREE) from error


def of_ours():
    RecordErrorPolicy("whatever")


def of_numpy_in_ours():
    look_at([1.0, 2.0], [0.0, 0.0, 1.0], 0.0)


def fail(error):
    raise error


CASES = {
    "a check of data": (
        lambda: fail(DataError("a.json: record 3: expected x, got y")),
        "a.json: record 3: expected x, got y",
    ),
    "several lines, with a cause": (chained, TREE),
    "a plain ValueError of our checks": (of_ours, "faulty: expected one of ('raise', 'skip'), got 'whatever'"),
    "the system's": (lambda: fail(PermissionError(13, "Permission denied", "/x/a.png")), "/x/a.png: Permission denied"),
    "disk full": (lambda: fail(OSError(28, "No space left on device")), "No space left on device"),
    "a UserError without a message": (lambda: fail(UserError()), ""),
    "a bug in a library": (lambda: int("x"), None),
    "a ValueError of somebody else": (lambda: fail(ValueError("x")), None),
    "a bug in our code": (of_numpy_in_ours, None),
    "a TypeError": (lambda: fail(TypeError("x")), None),
    "a KeyError": (lambda: fail(KeyError("x")), None),
    "an assertion": (lambda: fail(AssertionError("x")), None),
}


class Failing(Dataset):
    def __init__(self, work):
        self.work = work

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.work()


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_the_message_is_that_of_the_first_error(name, num_workers):
    work, expected = CASES[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011, of any kind
        list(DataLoader(Failing(work), num_workers=num_workers))
    assert ("Caught" in str(caught.value)) == bool(num_workers)
    assert message_for_user(caught.value) == expected


def test_a_worker_that_the_system_ends_is_told_with_a_way_out():
    with pytest.raises(RuntimeError) as caught:
        list(
            DataLoader(
                Failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), num_workers=1, multiprocessing_context="fork"
            )
        )
    message = message_for_user(caught.value)
    assert "a worker process died: DataLoader worker (pid" in message
    assert "num_workers" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 4"
        ),
    ],
)
def test_want_of_memory_is_told_with_a_way_out(error):
    assert message_for_user(error).startswith("out of memory: ")
    assert "batch_size" in message_for_user(error)


def test_a_missing_package_names_make_setup_but_a_missing_module_of_ours_is_a_bug():
    assert message_for_user(ModuleNotFoundError("No module named 'mmx'", name="mmx")).startswith(
        "No module named 'mmx'. In a clone: run `make setup` once"
    )
    assert message_for_user(ModuleNotFoundError("No module named 'dfmamba.x'", name="dfmamba.x")) is None


def test_what_a_registry_puts_in_front_is_taken_away():
    error = FileNotFoundError("class `RHPDataset` in dfmamba/datasets/rhp/dataset.py: RHPDataset: no such file")
    assert message_for_user(error) == "RHPDataset: no such file"


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(DataError("a.json: b")))
    assert (type(error), str(error)) == (DataError, "a.json: b")


@pytest.mark.parametrize(
    ("work", "code", "shown"),
    [
        (lambda: None, 0, ""),
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: fail(UserError("x: expected y, got z")), 2, "tool: x: expected y, got z\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "tool: interrupted\n"),
        (lambda: fail(StoppedError("saved")), 130, "tool: saved\n"),
    ],
)
def test_exit_codes(work, code, shown, capsys):
    try:
        run_tool("tool", work)
        left_with = 0
    except SystemExit as stop:
        left_with = stop.code
    assert (left_with, capsys.readouterr().err) == (code, shown)


def test_a_bug_keeps_its_traceback_and_debug_shows_any(monkeypatch):
    with pytest.raises(KeyError):
        run_tool("tool", lambda: {}["x"])
    with pytest.raises(UserError):
        run_tool("tool", lambda: fail(UserError("x")), debug=True)
    monkeypatch.setenv("DFMAMBA_TRACEBACK", "1")
    with pytest.raises(UserError):
        run_tool("tool", lambda: fail(UserError("x")))


def test_a_reader_that_has_seen_enough_is_no_error():
    code = (
        "from dfmamba.errors import run_tool\n"
        "run_tool('tool', lambda: [print(number, flush=True) for number in range(100000)] and None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(dfmamba.errors.__file__).parents[1])},
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


def test_examples_in_docstrings():
    assert doctest.testmod(dfmamba.errors).failed == 0
