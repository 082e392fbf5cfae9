"""The memory that a training takes over its steps, as a table: written by itself, read again, and whether it grows."""

import os
from pathlib import Path

import numpy as np

from dfmamba.engine.faults import after_each_step
from dfmamba.engine.runner import ReproducibleRunner


def record_memory(table: Path, every: int) -> None:
    """Make the training of this process note its memory and its workers' in a CSV file, every few steps."""
    table.write_text("step,training MiB,workers MiB\n")

    def record(runner: ReproducibleRunner) -> None:
        if runner.iter % every == 0:
            workers = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent_of(path) == os.getpid()]
            with table.open("a") as file:
                file.write(f"{runner.iter},{_own_mib(os.getpid()):.1f},{sum(map(_own_mib, workers)):.1f}\n")

    after_each_step(record)


def read_memory(table: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `record_memory` wrote: steps, MiB of the training, MiB of its workers, each (N,)."""
    steps, training, workers = np.loadtxt(table, delimiter=",", skiprows=1, ndmin=2).T
    return steps, training, workers


def memory_growth(steps: np.ndarray, training: np.ndarray) -> tuple[float, float]:
    """Fit a line to the memory after the first fifth of the steps; return where it begins, in MiB, and MiB per step."""
    late = steps > steps[-1] / 5
    slope, start = np.polyfit(steps[late], training[late], 1)
    return float(start + slope * steps[late][0]), float(slope)


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
