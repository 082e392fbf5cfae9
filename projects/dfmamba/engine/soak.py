"""Trainings under faults, and whether what comes of them equals an undisturbed one bit by bit."""

import functools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dfmamba.engine.checkpoint_file import open_checkpoint
from dfmamba.engine.checkpoint_folder import BEST_PREFIX, newest_checkpoint
from dfmamba.engine.errors import UserError
from dfmamba.engine.faults import Fault, draw_fault, run_in_child
from dfmamba.engine.memory_table import record_memory

CLOCK_WORDS = ("time", "memory", "eta")  # parts of the names of scalars that no two runs share
TRAIN_IMAGES, TEST_IMAGES, BROKEN_IMAGES = 40, 8, 2
EPOCHS, BATCH = 3, 8
NUM_WRITES = 13  # of files, in such a training


@dataclass(frozen=True)
class Outcome:
    """What came of a training under faults.

    Attributes:
        name: Of the training's folder.
        faults: What happened at each start.
        codes: The exit code of each start.
        found: What is wrong; empty if it equals the undisturbed training.
    """

    name: str
    faults: list[str]
    codes: list[int]
    found: list[str]


class Soak:
    """Trainings in one folder, on SYNTHETIC hands.

    Args:
        folder: For data, trainings and logs.
        seed: Of the faults.
        config: What is trained.
        call_tool: Runs a tool in this process: its name, then its arguments.
    """

    def __init__(self, folder: Path, seed: int, config: Path, call_tool: Callable[..., None]) -> None:
        self.folder, self.config, self.call_tool = folder, config, call_tool
        self.rng = random.Random(seed)
        self.num_steps = EPOCHS * (TRAIN_IMAGES // BATCH)

    def prepare(self) -> float:
        """Make the data and the undisturbed training; return how long a training takes, in seconds."""
        self._make_data()
        images = sorted((self.folder / "data" / "images" / "train").rglob("*.jpg"))
        for image in images[:: len(images) // BROKEN_IMAGES][:BROKEN_IMAGES]:
            image.write_bytes(image.read_bytes()[:2000])
        start = time.monotonic()
        self._require(self._train("undisturbed"), "undisturbed")
        self.took_s = time.monotonic() - start
        self.metrics = self._test("undisturbed")
        self.state_bytes = (self.folder / "undisturbed" / f"epoch_{EPOCHS}.pth").stat().st_size
        return self.took_s

    def disturb(self, name: str) -> Outcome:
        """Train under faults, each with the probability of one half after the first, until it ends; compare."""
        work_dir = self.folder / name
        faults: list[str] = []
        codes: list[int] = []
        found: list[str] = []
        for start in range(50):
            fault = None
            if start == 0 or (start < 5 and self.rng.random() < 0.5):
                fault = draw_fault(self.rng, self.took_s, self.num_steps, self.state_bytes, NUM_WRITES)
            had_state = (work_dir / "last_checkpoint").exists()
            codes.append(self._train(name, "--resume", fault=fault))
            faults.append(fault.name if fault else "undisturbed")
            if work_dir.exists():
                found += find_unreadable(work_dir, had_state)
            if codes[-1] == 1 or (fault is None and codes[-1] != 0):  # 1: an error that nobody has foreseen
                found.append(f"exit code {codes[-1]}, see {work_dir}.log")
            if codes[-1] == 0 or found:
                break
        if not found:
            found = differences(self.folder / "undisturbed", work_dir)
            found += [] if self._test(name) == self.metrics else ["tools/test.py: other metrics"]
        return Outcome(name, faults, codes, found)

    def measure_memory(self, steps: int) -> Path:
        """Train in small batches; return a table of the memory of the training and its workers."""
        self._make_data()
        table, every = self.folder / "memory.csv", max(1, steps // 200)
        epochs = -(-steps // (TRAIN_IMAGES // 2))
        interval = max(1, epochs // 20)
        arguments = self._train_arguments("memory", epochs=epochs, batch=2, interval=interval)
        before = functools.partial(record_memory, table, every)
        self._require(self._run("memory", "train", *arguments, before=before, limit_s=24 * 3600), "memory")
        return table

    def _make_data(self) -> None:
        """Write the SYNTHETIC images."""
        out, counts = str(self.folder / "data"), ("--train", str(TRAIN_IMAGES), "--test", str(TEST_IMAGES))
        self._require(self._run("data", "make_dataset", "interhand26m", "--out", out, *counts, "--seed", "0"), "data")

    def _train(self, name: str, *arguments: str, fault: Fault | None = None) -> int:
        """Train; return the exit code."""
        return self._run(name, "train", *self._train_arguments(name), *arguments, fault=fault)

    def _train_arguments(self, name: str, **settings: int) -> list[str]:
        return [str(self.config), "--work-dir", str(self.folder / name), *self._config_options(**settings)]

    def _test(self, name: str) -> str:
        """Test the last checkpoint; return the metrics as text."""
        out, checkpoint = self.folder / f"{name}.json", self.folder / name / f"epoch_{EPOCHS}.pth"
        folder = str(self.folder / f"{name}_test")
        options = ("--out", str(out), "--work-dir", folder, "--num-overlays", "0", *self._config_options())
        self._require(self._run(name, "test", str(self.config), str(checkpoint), *options), name)
        return json.dumps(json.loads(out.read_text())["metrics"])

    def _config_options(self, epochs: int = EPOCHS, batch: int = BATCH, interval: int = 1) -> tuple[str, ...]:
        """Return what is changed in the config; validations and checkpoints come after every `interval` epochs."""
        return (
            "--cfg-options",
            f"data_root={self.folder / 'data'}",
            f"train_cfg.max_epochs={epochs}",
            f"train_cfg.val_interval={interval}",
            f"train_dataloader.batch_size={batch}",
            f"default_hooks.checkpoint.interval={interval}",
            "default_hooks.checkpoint.save_best=interhand/MPJPE_rr_macro_all_mm",
            "train_dataloader.dataset.faulty=skip",
        )

    def _run(
        self,
        name: str,
        tool: str,
        *arguments: str,
        fault: Fault | None = None,
        before: Callable[[], None] | None = None,
        limit_s: float = 1800.0,
    ) -> int:
        """Run a tool in a child; its output goes into `<name>.log`."""
        work = functools.partial(self.call_tool, tool, *arguments)
        return run_in_child(work, self.folder / f"{name}.log", fault, limit_s, before)

    def _require(self, code: int, name: str) -> None:
        """Stop where something fails that no fault explains.

        Raises:
            UserError: `code` is not 0.
        """
        if code != 0:
            raise UserError(f"{name} ended with exit code {code} without a fault, see {self.folder / name}.log")


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
