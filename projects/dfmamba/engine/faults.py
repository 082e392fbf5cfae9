"""Faults of a training, made on purpose: killed, stopped, out of disk.

Each training runs in a forked child of a process that has imported everything, so a start takes no time.
"""

import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dfmamba.engine.runner import ReproducibleRunner

# The first backward pass of a process counts the devices and starts a thread for each: none without a GPU. After a fake
# tensor (torch.compile has some) torch counts one more, and with such threads no forked child can run a backward pass.
torch.zeros((), requires_grad=True).backward()
WRITE_STAGES = ("half written", "before the rename", "after the rename")


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


def draw_fault(rng: random.Random, took_s: float, num_steps: int, state_bytes: int, num_writes: int) -> Fault:
    """Return a random fault of a training.

    Args:
        rng: Where it comes from.
        took_s: How long the training takes undisturbed, in seconds.
        num_steps: How many steps it has.
        state_bytes: Size of its checkpoints.
        num_writes: How many atomic writes it does.
    """
    kind = rng.choice(("kill", "kill", "kill in a write", "signal", "full disk"))
    if kind == "kill":
        at_s = rng.uniform(0, took_s)
        return Fault(f"killed after {at_s:.1f} s", at_s=at_s)
    if kind == "kill in a write":
        number, stage = rng.randrange(num_writes), rng.choice(WRITE_STAGES)
        return Fault(f"killed in write {number}, {stage}", write=number, stage=stage)
    if kind == "signal":
        signal_number = rng.choice((signal.SIGTERM, signal.SIGINT))
        step = rng.randrange(1, num_steps + 1)
        return Fault(f"{signal_number.name} at step {step}", at_iter=step, signal_number=signal_number)
    limit = int(state_bytes * rng.uniform(0.1, 1.0))
    return Fault(f"no file above {limit // 1024} KiB", max_file_bytes=limit)


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
    """Make the training of this process send itself a signal, after this number of steps."""
    after_each_step(lambda runner: os.kill(os.getpid(), number) if runner.iter == iteration else None)


def after_each_step(act: Callable[[ReproducibleRunner], None]) -> None:
    """Make the trainings of this process call a function where they look for signals: after each step."""
    real_check = ReproducibleRunner.stop_if_asked

    def check(self: ReproducibleRunner, saved: Path | None = None) -> None:
        act(self)
        real_check(self, saved)

    ReproducibleRunner.stop_if_asked = check  # type: ignore[method-assign]
