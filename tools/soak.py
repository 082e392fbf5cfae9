"""Train and test under faults for a given time: `.venv/bin/python tools/soak.py --minutes 30`.

A short training on SYNTHETIC hands, with augmentation and with two images cut short, runs undisturbed once. Then it
runs again and again, killed at a random moment, killed inside a write, asked to stop, or out of disk, is resumed until
it ends, and is compared with the undisturbed one: weights, optimizer, losses, metrics and best checkpoint bit by bit,
and what `tools/test.py` says of it. Exit code 0: all were equal; 1: one was not.
"""

import argparse
import functools
import random
import runpy
import signal
import sys
import time
from pathlib import Path

from command_line import SEED, add_common_arguments, launch, real_number, whole_number

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "demo" / "dfmamba_interhand_demo.py"
OPTIONS = (
    "train_cfg.max_epochs=3",
    "train_cfg.val_interval=1",
    "train_dataloader.batch_size=8",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.checkpoint.save_best=interhand/MPJPE_rr_macro_all_mm",
    "train_dataloader.dataset.faulty=skip",
)
TRAIN_IMAGES, TEST_IMAGES, BROKEN_IMAGES = 40, 8, 2


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=real_number(0), default=30.0, help="how long; one training at least (default: 30)"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the faults (default: 0)")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs/soak"),
        help="folder for data and trainings; it must be empty or not exist (default: work_dirs/soak)",
    )
    parser.add_argument(
        "--memory-steps",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="instead of faults, train so many steps and plot the memory in use (default: 0, faults)",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def call_tool(name: str, *arguments: str) -> None:
    """Run one of the tools in this process."""
    sys.argv = [f"{name}.py", *arguments]
    runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")


class Soak:
    """Trainings in one folder.

    Args:
        folder: For data, trainings and logs.
        seed: Of the faults.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.options = ("--cfg-options", f"data_root={folder / 'data'}", *OPTIONS)

    def run(self, name: str, tool: str, *arguments: str, fault=None) -> int:
        """Run a tool in a child; its output goes into `<name>.log`."""
        from dfmamba.engine.soak import run_in_child

        work = functools.partial(call_tool, tool, *arguments)
        return run_in_child(work, self.folder / f"{name}.log", fault, limit_s=1800)

    def train(self, name: str, *arguments: str, fault=None) -> int:
        """Train; return the exit code."""
        return self.run(
            name, "train", str(CONFIG), "--work-dir", str(self.folder / name), *arguments, *self.options, fault=fault
        )

    def test(self, name: str) -> str:
        """Test the last checkpoint; return the metrics as text."""
        import json

        out = self.folder / f"{name}.json"
        code = self.run(
            name,
            "test",
            str(CONFIG),
            str(self.folder / name / "epoch_3.pth"),
            "--out",
            str(out),
            "--work-dir",
            str(self.folder / f"{name}_test"),
            "--num-overlays",
            "0",
            *self.options,
        )
        self.require(code, name)
        return json.dumps(json.loads(out.read_text())["metrics"])

    def require(self, code: int, name: str) -> None:
        """Stop where something fails that no fault explains.

        Raises:
            UserError: `code` is not 0.
        """
        from dfmamba.engine.errors import UserError

        if code != 0:
            raise UserError(f"{name} ended with exit code {code} without a fault, see {self.folder / name}.log")

    def make_data(self) -> None:
        """Write the SYNTHETIC images."""
        self.require(
            self.run(
                "data",
                "make_dataset",
                "interhand26m",
                "--out",
                str(self.folder / "data"),
                "--train",
                str(TRAIN_IMAGES),
                "--test",
                str(TEST_IMAGES),
                "--seed",
                "0",
            ),
            "data",
        )

    def prepare(self) -> float:
        """Make the data and the undisturbed training; return how long a training takes, in seconds."""
        self.make_data()
        images = sorted((self.folder / "data" / "images" / "train").rglob("*.jpg"))
        for image in images[:: len(images) // BROKEN_IMAGES][:BROKEN_IMAGES]:
            image.write_bytes(image.read_bytes()[:2000])
        start = time.monotonic()
        self.require(self.train("undisturbed"), "undisturbed")
        took = time.monotonic() - start
        self.metrics = self.test("undisturbed")
        self.state_bytes = (self.folder / "undisturbed" / "epoch_3.pth").stat().st_size
        self.num_steps = 3 * (TRAIN_IMAGES // 8)
        return took

    def watch_memory(self, steps: int) -> str:
        """Train in small batches and plot the memory of the training and its workers; return a line about it."""
        import numpy as np
        from matplotlib.figure import Figure

        from dfmamba.engine.soak import record_memory, run_in_child

        self.make_data()
        table, every = self.folder / "memory.csv", max(1, steps // 200)
        options = [option for option in self.options if not option.startswith(("train_cfg", "train_dataloader.batch"))]
        epochs = -(-steps // (TRAIN_IMAGES // 2))
        often = max(1, epochs // 20)
        work = functools.partial(
            call_tool,
            "train",
            str(CONFIG),
            "--work-dir",
            str(self.folder / "memory"),
            *options,
            "train_dataloader.batch_size=2",
            f"train_cfg.max_epochs={epochs}",
            f"train_cfg.val_interval={often}",
            f"default_hooks.checkpoint.interval={often}",
        )
        before = functools.partial(record_memory, table, every)
        self.require(run_in_child(work, self.folder / "memory.log", before=before, limit_s=24 * 3600), "memory")
        step, main, workers = np.loadtxt(table, delimiter=",", skiprows=1).T
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(step, main, label="training")
        axes.plot(step, workers, label="its workers")
        axes.set(xlabel="step", ylabel="memory of its own, MiB", ylim=(0, None))
        axes.legend()
        figure.savefig(self.folder / "memory.png", dpi=110)
        late = step > step[-1] / 5
        slope, start = np.polyfit(step[late], main[late], 1)
        return (
            f"{int(step[-1])} steps: after the first fifth {start + slope * step[late][0]:.0f} MiB, "
            f"{1000 * slope:+.2f} MiB per 1000 steps; table {table}, picture {self.folder / 'memory.png'}"
        )

    def draw_fault(self, took: float):
        """Return the next fault."""
        from dfmamba.engine.soak import WRITE_STAGES, Fault

        kind = self.rng.choice(("kill", "kill", "kill in a write", "signal", "full disk"))
        if kind == "kill":
            at_s = self.rng.uniform(0, took)
            return Fault(f"killed after {at_s:.1f} s", at_s=at_s)
        if kind == "kill in a write":
            number, stage = self.rng.randrange(13), self.rng.choice(WRITE_STAGES)
            return Fault(f"killed in write {number}, {stage}", write=number, stage=stage)
        if kind == "signal":
            number = self.rng.choice((signal.SIGTERM, signal.SIGINT))
            step = self.rng.randrange(1, self.num_steps + 1)
            return Fault(f"{number.name} at step {step}", at_iter=step, signal_number=number)
        limit = int(self.state_bytes * self.rng.uniform(0.1, 1.0))
        return Fault(f"no file above {limit // 1024} KiB", max_file_bytes=limit)

    def disturb(self, name: str, took: float) -> tuple[str, str, str, str]:
        """Train under faults, each with the probability of one half after the first; return a row of the table."""
        from dfmamba.engine.soak import differences, find_unreadable

        work_dir, codes, told, found = self.folder / name, [], [], []
        for start in range(50):
            fault = self.draw_fault(took) if start == 0 or (start < 5 and self.rng.random() < 0.5) else None
            had_state = (work_dir / "last_checkpoint").exists()
            codes.append(self.train(name, "--resume", fault=fault))
            told.append(fault.name if fault else "undisturbed")
            if work_dir.exists():
                found += find_unreadable(work_dir, had_state)
            if codes[-1] == 1 or (fault is None and codes[-1] != 0):  # 1: an error that nobody has foreseen
                found.append(f"exit code {codes[-1]}, see {work_dir}.log")
            if codes[-1] == 0 or found:
                break
        if not found:
            found = differences(self.folder / "undisturbed", work_dir)
            found += [] if self.test(name) == self.metrics else ["tools/test.py: other metrics"]
        return "; ".join(told), ", ".join(map(str, codes)), name, "\n".join(found) or "equal"


def soak(args: argparse.Namespace) -> int:
    """Run trainings until the time is up; return the exit code."""
    import mmpose.datasets
    import mmpose.models  # noqa: F401  # once, for all children
    from mmengine.logging import MMLogger
    from rich.console import Console
    from rich.table import Table

    from dfmamba.engine.errors import UserError

    if args.work_dir.exists() and any(args.work_dir.iterdir()):
        raise UserError(f"--work-dir {args.work_dir}: expected an empty folder, it holds something. Name another one.")
    args.work_dir.mkdir(parents=True, exist_ok=True)
    MMLogger.get_current_instance().setLevel("ERROR")
    console, end = Console(soft_wrap=True), time.monotonic() + 60 * args.minutes
    case = Soak(args.work_dir.resolve(), args.seed)
    if args.memory_steps:
        console.print(case.watch_memory(args.memory_steps))
        return 0
    with console.status("data and the undisturbed training"):
        took = case.prepare()
    console.print(f"SYNTHETIC data; an undisturbed training takes {took:.0f} s and has {case.num_steps} steps")
    rows = []
    while not rows or time.monotonic() < end:
        rows.append(case.disturb(f"run{len(rows)}", took))
        console.print(f"{rows[-1][2]}: {rows[-1][0]}: exit codes {rows[-1][1]}: {rows[-1][3]}", highlight=False)
    equal = sum(row[3] == "equal" for row in rows)
    table = Table("faults", "exit codes", "training", "against the undisturbed one")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(f"{equal} of {len(rows)} trainings equal the undisturbed one")
    return 0 if equal == len(rows) else 1


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("soak", lambda: soak(args), args)


if __name__ == "__main__":
    main()
