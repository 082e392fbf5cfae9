"""Train and test under faults for a given time: `.venv/bin/python tools/soak.py --minutes 30`.

A short training on SYNTHETIC hands, with augmentation and with two images cut short, runs undisturbed once. Then it
runs again and again, killed at a random moment, killed inside a write, asked to stop, or out of disk, is resumed until
it ends, and is compared with the undisturbed one: weights, optimizer, losses, metrics and best checkpoint bit by bit,
and what `tools/test.py` says of it. Exit code 0: all were equal; 1: one was not.
"""

import argparse
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import SEED, add_common_arguments, launch, real_number, whole_number

if TYPE_CHECKING:
    from dfmamba.engine.soak import Soak

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "demo" / "dfmamba_interhand_demo.py"


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
        help="instead of faults, train for this number of steps and plot the memory in use (default: 0, faults)",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def call_tool(name: str, *arguments: str) -> None:
    """Run one of the tools in this process."""
    sys.argv = [f"{name}.py", *arguments]
    runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")


def report_memory(case: "Soak", steps: int) -> str:
    """Train for a number of steps and draw the memory; return a line about it."""
    from dfmamba.engine.memory_table import memory_growth, read_memory
    from dfmamba.visualization.memory_curve import draw_memory

    table = case.measure_memory(steps)
    picture = table.with_suffix(".png")
    taken, training, workers = read_memory(table)
    draw_memory(picture, taken, training, workers)
    start, slope = memory_growth(taken, training)
    return (
        f"{int(taken[-1])} steps: after the first fifth {start:.0f} MiB, {1000 * slope:+.2f} MiB per 1000 steps; "
        f"table {table}, picture {picture}"
    )


def report_faults(case: "Soak", minutes: float) -> int:
    """Run trainings under faults until the time is up, and print what came of them; return the exit code."""
    from rich.console import Console
    from rich.table import Table

    console, end = Console(soft_wrap=True), time.monotonic() + 60 * minutes
    with console.status("data and the undisturbed training"):
        took_s = case.prepare()
    console.print(f"SYNTHETIC data; an undisturbed training takes {took_s:.0f} s and has {case.num_steps} steps")
    table, runs, equal = Table("faults", "exit codes", "training", "against the undisturbed one"), 0, 0
    while not runs or time.monotonic() < end:
        outcome = case.disturb(f"run{runs}")
        faults, codes = "; ".join(outcome.faults), ", ".join(map(str, outcome.codes))
        conclusion = "\n".join(outcome.found) or "equal"
        console.print(f"{outcome.name}: {faults}: exit codes {codes}: {conclusion}", highlight=False)
        table.add_row(faults, codes, outcome.name, conclusion)
        runs, equal = runs + 1, equal + (not outcome.found)
    console.print(table)
    console.print(f"{equal} of {runs} trainings equal the undisturbed one")
    return 0 if equal == runs else 1


def soak(args: argparse.Namespace) -> int:
    """Watch the memory, or train under faults until the time is up; return the exit code.

    Raises:
        UserError: The folder holds something.
    """
    import mmpose.datasets
    import mmpose.models  # noqa: F401  # once, for all children
    from mmengine.logging import MMLogger

    from dfmamba.engine.errors import UserError
    from dfmamba.engine.soak import Soak

    if args.work_dir.exists() and any(args.work_dir.iterdir()):
        raise UserError(f"--work-dir {args.work_dir}: expected an empty folder, it holds something. Name another one.")
    args.work_dir.mkdir(parents=True, exist_ok=True)
    MMLogger.get_current_instance().setLevel("ERROR")
    case = Soak(args.work_dir.resolve(), args.seed, CONFIG, call_tool)
    if args.memory_steps:
        print(report_memory(case, args.memory_steps))
        return 0
    return report_faults(case, args.minutes)


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("soak", lambda: soak(args), args)


if __name__ == "__main__":
    main()
