"""Trainings under faults: killed, stopped, out of disk; and whether what comes of them equals an undisturbed one.

Each training runs in a forked child of a process that has imported everything, so a start takes no time.
"""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dfmamba.engine.checkpoint_file import open_checkpoint
from dfmamba.engine.checkpoint_folder import BEST_PREFIX, newest_checkpoint
from dfmamba.engine.runner import ReproducibleRunner

WRITE_STAGES = ("half written", "before the rename", "after the rename")
CLOCK_WORDS = ("time", "memory", "eta")  # parts of the names of scalars that no two runs share


@dataclass(frozen=True)
class Fault:
    """What happens to a training.

    Attributes:
        name: For the table.
        at_s: Seconds after the start of the child at which it gets `signal_number`.
        signal_number: That signal.
        at_iter: Iteration after which it sends itself `signal_number`.
        write: Number of the atomic write, from 0, in which it is killed; None for none.
        stage: Where in that write, one of `WRITE_STAGES`.
        max_file_bytes: Files cannot become longer, as on a full disk.
    """

    name: str
    at_s: float | None = None
    at_iter: int | None = None
    signal_number: int = signal.SIGKILL
    write: int | None = None
    stage: str = WRITE_STAGES[0]
    max_file_bytes: int | None = None


def run_in_child(
    work: Callable[[], None],
    log: Path,
    fault: Fault | None = None,
    limit_s: float = 600.0,
    before: Callable[[], None] | None = None,
) -> int:
    """Call `work` in a forked child and return its exit code, -N if signal N ended it.

    Args:
        work: What to do; a `SystemExit` gives the exit code.
        log: File that both output streams are appended to.
        fault: What happens to it.
        limit_s: After so long it is killed.
        before: Called in the child first.

    Raises:
        TimeoutError: It took longer.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _run_and_exit(work, log, fault, before)
    start, sent = time.monotonic(), False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - start
        if fault is not None and fault.at_s is not None and passed >= fault.at_s and not sent:
            os.kill(child, fault.signal_number)
            sent = True
        if passed > limit_s:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a training took more than {limit_s:g} s, see {log}")
        time.sleep(0.005)


def _run_and_exit(work: Callable[[], None], log: Path, fault: Fault | None, before: Callable[[], None] | None) -> None:
    """Do the work of a child and end it, whatever happens."""
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (open(handle, "w", buffering=1, closefd=False) for handle in (1, 2))  # noqa: SIM115
        torch.set_num_threads(1)  # the threads of a process do not come along in a fork, and OpenMP would wait for them
        if before is not None:
            before()
        if fault is not None and fault.write is not None:
            _kill_in_write(fault.write, fault.stage)
        if fault is not None and fault.at_iter is not None:
            _signal_after(fault.at_iter, fault.signal_number)
        if fault is not None and fault.max_file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails with an error
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.max_file_bytes, fault.max_file_bytes))
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill_in_write(number: int, stage: str) -> None:
    """Make this process kill itself in one of its atomic writes, which sync the file and then the folder."""
    calls = [2 * number + (stage == WRITE_STAGES[2])]
    real_sync = os.fsync

    def sync(handle: int) -> None:
        if calls[0] == 0:
            if stage == WRITE_STAGES[0]:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        calls[0] -= 1
        real_sync(handle)

    os.fsync = sync  # type: ignore[assignment]  # `atomic` syncs numbers of files, no objects with one


def _signal_after(iteration: int, number: int) -> None:
    """Make the training of this process send itself a signal, once it has taken so many steps."""
    _after_each_step(lambda runner: os.kill(os.getpid(), number) if runner.iter == iteration else None)


def record_memory(table: Path, every: int) -> None:
    """Make the training of this process note its memory and its workers' in a CSV file, every so many steps."""
    table.write_text("step,training MiB,workers MiB\n")

    def record(runner: ReproducibleRunner) -> None:
        if runner.iter % every == 0:
            workers = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent_of(path) == os.getpid()]
            with table.open("a") as file:
                file.write(f"{runner.iter},{_own_mib(os.getpid()):.1f},{sum(map(_own_mib, workers)):.1f}\n")

    _after_each_step(record)


def _after_each_step(act: Callable[[ReproducibleRunner], None]) -> None:
    """Make the trainings of this process call a function where they look for signals: after each step."""
    real_check = ReproducibleRunner.stop_if_asked

    def check(self: ReproducibleRunner, saved: Path | None = None) -> None:
        act(self)
        real_check(self, saved)

    ReproducibleRunner.stop_if_asked = check  # type: ignore[method-assign]


def _parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return -1


def _own_mib(process: int) -> float:
    """Return the memory of a process that it shares with no other, in MiB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def find_unreadable(folder: Path, had_state: bool) -> list[str]:
    """Return what a fault has destroyed in a work folder.

    Args:
        folder: The work folder.
        had_state: Whether a state had been written whole before, so that there must be one now.
    """
    faults = []
    for path in folder.glob("*.pth"):
        try:
            open_checkpoint(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    try:
        if newest_checkpoint(folder) is None and had_state:
            faults.append(f"{folder}: its state is gone")
    except ValueError as error:
        faults.append(str(error))
    return faults


def differences(undisturbed: Path, disturbed: Path) -> list[str]:
    """Compare the checkpoints of two finished trainings bit by bit; return what differs, clocks and paths apart."""
    found = []
    names = [sorted(path.name for path in folder.glob("*.pth")) for folder in (undisturbed, disturbed)]
    if names[0] != names[1]:
        found.append(f"files: {names[0]} and {names[1]}")
    for name in sorted(set(names[0]) & set(names[1])):
        before, after = (open_checkpoint(folder / name) for folder in (undisturbed, disturbed))
        parts = ("state_dict",) if name.startswith(BEST_PREFIX) else ("state_dict", "optimizer", "param_schedulers")
        found += [f"{name}: {part}" for part in parts if not _equal(before.get(part), after.get(part))]
        found += [f"{name}: {key}" for key in _different_scalars(before["message_hub"], after["message_hub"])]
    return found


def _different_scalars(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of histories (losses, metrics) and of best scores that differ."""
    tables = [
        {
            **hub["log_scalars"],
            **{key: value for key, value in hub["runtime_info"].items() if key.startswith("best_score")},
        }
        for hub in (before, after)
    ]
    keys = {key for table in tables for key in table if not any(word in key for word in CLOCK_WORDS)}
    return sorted(key for key in keys if not _equal(tables[0].get(key), tables[1].get(key)))


def _equal(one: Any, other: Any) -> bool:
    """Whether two nested values are equal, tensors bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and one.numpy().tobytes() == other.numpy().tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
