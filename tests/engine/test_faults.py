"""Random faults of trainings, and the table of their memory: parts of `tools/soak.py`."""

import random
import signal

import numpy as np
import pytest

import tool_process
from dfmamba.engine.faults import WRITE_STAGES, draw_fault
from dfmamba.engine.memory_table import memory_growth, read_memory


def test_faults_are_of_all_kinds_and_within_the_training():
    rng = random.Random(0)
    faults = [draw_fault(rng, took_s=20.0, num_steps=15, state_bytes=10_000, num_writes=13) for _ in range(1000)]
    assert {fault.write for fault in faults} == {None, *range(13)}
    assert {fault.stage for fault in faults if fault.write is not None} == set(WRITE_STAGES)
    assert {fault.at_iter for fault in faults} == {None, *range(1, 16)}
    assert {fault.signal_number for fault in faults if fault.at_iter} == {signal.SIGTERM, signal.SIGINT}
    assert all(0 <= fault.at_s <= 20 for fault in faults if fault.at_s is not None)
    assert all(1000 <= fault.max_file_bytes <= 10_000 for fault in faults if fault.max_file_bytes is not None)


TRAIN_AFTER_FAKE_TENSORS = """
import sys
from pathlib import Path
import torch
from torch._subclasses import FakeTensorMode
from dfmamba.engine.faults import run_in_child

def backward():
    torch.ones(2, requires_grad=True).sum().backward()

with FakeTensorMode():
    torch.ones(2)
backward()
sys.exit(run_in_child(backward, Path("child.log")))
"""


def test_a_child_can_train_after_fake_tensors(tmp_path):
    """As it must where a test before this one has compiled a model."""
    script = tmp_path / "script.py"
    script.write_text(TRAIN_AFTER_FAKE_TENSORS)
    assert tool_process.run(script, cwd=tmp_path).returncode == 0, (tmp_path / "child.log").read_text()


def test_memory_that_grows_after_the_start(tmp_path):
    """100 MiB from the third of ten steps on, and 2 MiB more with each step; what comes before does not count."""
    table = tmp_path / "memory.csv"
    lines = [f"{step},{7 if step < 3 else 94 + 2 * step:.1f},5.0" for step in range(1, 11)]
    table.write_text("step,training MiB,workers MiB\n" + "\n".join(lines) + "\n")
    steps, training, workers = read_memory(table)
    assert steps.tolist() == list(range(1, 11))
    assert np.all(workers == 5)
    assert memory_growth(steps, training) == (pytest.approx(100), pytest.approx(2))
