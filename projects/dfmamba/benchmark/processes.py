"""New processes to measure in, and the memory of this one."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Return what a function returns in a process that has done nothing before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def resident_kib(field: str) -> int:
    """Return a line of /proc/self/status in KiB: VmRSS now, VmHWM at its highest since `clear_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def clear_peak() -> None:
    """Let VmHWM start again."""
    Path("/proc/self/clear_refs").write_text("5")
