"""Time backbones and whole models against each other on this machine, interleaved in one run.

Ratios mean something, milliseconds little. For each model: parameters, multiply-adds of one image, and for each data
type, runtime, number of threads and batch size the median of images a second with the quartiles, the speed over the
first model named (eager, float32, same threads and batch), and the memory that weights and a forward pass need. All
weights are random. The CSV file has the times too.

Multiply-adds are torch's count of matrix products and convolutions, plus the scans and samplings by the formulas of
`SSM.multiply_adds` and `DSSM.multiply_adds`: 4 N + 2 for each token and channel of a scan with N states, 4 K for
each token and channel of a sampling with K anchors.

Runtimes: `eager`; `folded` (batch norms folded into convolutions, channels-last, and for our blocks and heads what
`fold_for_inference` does); `compiled` (torch.compile of the whole graph); `graph` (a CUDA graph); `folded_compiled` and
`folded_graph` (the same of the folded model).

    python tools/benchmark.py --models resnet50 dfmamba_tiny timm:swin_tiny_patch4_window7_224
    python tools/benchmark.py --models configs/dfmamba_interhand.py configs/baselines/*_interhand.py --out DIR
    python tools/benchmark.py --models configs/{baselines/resnet50,dfmamba}_interhand.py:backbone
"""

import argparse
import csv
import platform
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path

import torch

from dfmamba.benchmark.model_timing import DTYPES, RUNTIMES, Plan, Row, measure
from dfmamba.benchmark.models import BACKBONES, build, label
from dfmamba.benchmark.plots import draw_speeds
from dfmamba.cli.command_line import add_common_arguments, launch, whole_number
from dfmamba.errors import UserError
from dfmamba.io.outputs import check_output_folder


def as_markdown(rows: list[Row]) -> str:
    """Return a table of speed, and one of memory where it was measured, for each number of threads and batch size."""
    columns = list(dict.fromkeys((row.dtype, row.runtime) for row in rows))
    parts = []
    for threads, batch in dict.fromkeys((row.threads, row.batch) for row in rows):
        chosen = [row for row in rows if (row.threads, row.batch) == (threads, batch)]
        parts += [f"Images a second, {threads} threads, batch {batch}:", _pivot(chosen, columns, _speed)]
        if any(row.memory_mb == row.memory_mb for row in chosen):  # not NaN
            parts += [
                f"Memory of weights and a forward pass in MB, {threads} threads, batch {batch}:",
                _pivot(chosen, columns, _memory),
            ]
    return "\n\n".join(parts)


def _pivot(rows: list[Row], columns: list[tuple[str, str]], cell: Callable[[Row], str]) -> str:
    """Return a table with a line for each model and a column for each data type and runtime."""
    names = " | ".join(f"{runtime}, {dtype}" for dtype, runtime in columns)
    lines = [f"| model | params M | mult-adds G | {names} |", "|---" * (3 + len(columns)) + "|"]
    for name in dict.fromkeys(row.model for row in rows):
        of_model = {(row.dtype, row.runtime): row for row in rows if row.model == name}
        first = next(iter(of_model.values()))
        cells = [cell(of_model[column]) if column in of_model else "does not run" for column in columns]
        lines.append(f"| {name} | {first.parameters_m:.2f} | {first.multiply_adds_g:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _speed(row: Row) -> str:
    slow, fast = 1e3 / row.high_ms, 1e3 / row.low_ms
    return f"{row.images_per_s:.1f} ({slow:.1f}-{fast:.1f}), {row.speed:.2f} x"


def _memory(row: Row) -> str:
    return "-" if row.memory_mb != row.memory_mb else f"{row.memory_mb:.0f}"


def write(rows: list[Row], header: str, folder: Path) -> None:
    """Write benchmark.md, .csv and .png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text(f"{header}\n\n{as_markdown(rows)}\n")
    with (folder / "benchmark.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw_speeds(rows, folder / "benchmark.png")


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        nargs="+",
        default=["resnet50", "dfmamba_tiny"],
        metavar="MODEL",
        help=f"what is compared: {', '.join(BACKBONES)}, timm:<model>, the path of a config for its "
        "whole model, or <path>:backbone for its backbone (default: resnet50 dfmamba_tiny)",
    )
    parser.add_argument(
        "--runtimes",
        nargs="+",
        choices=RUNTIMES,
        help="how they run (default: eager folded, and graph folded_graph on a GPU)",
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        choices=list(DTYPES),
        default=["float32"],
        help="data types of weights and images (default: float32)",
    )
    parser.add_argument(
        "--size", type=whole_number(32), default=256, help="side of the square image in px (default: 256)"
    )
    parser.add_argument("--batch", type=whole_number(1), nargs="+", default=[1, 8], help="batch sizes (default: 1 8)")
    parser.add_argument("--threads", type=whole_number(1), nargs="+", default=[1, 2], help="CPU threads (default: 1 2)")
    parser.add_argument(
        "--rounds",
        type=whole_number(2),
        default=7,
        help="rounds, at least 2, for quartiles; each times everything once (default: 7)",
    )
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out the memory (default: measure it, except of compiled models)"
    )
    parser.add_argument("--out", type=Path, help="folder for benchmark.md, .csv and .png (default: print only)")
    add_common_arguments(parser)
    return parser.parse_args()


def benchmark(args: argparse.Namespace) -> None:
    """Print Markdown tables, and write them with a CSV file and a plot if asked to.

    Raises:
        UserError: A model or the device is unknown, or the folder for the results cannot be written.
    """
    if args.out:
        check_output_folder("--out", args.out)
    try:
        torch.empty(1, device=args.device)
        with torch.device("meta"):
            for name in args.models:
                build(name, args.size)
    except (ValueError, RuntimeError, AssertionError) as error:  # also of timm, and of a torch built without CUDA
        raise UserError(str(error).strip().splitlines()[0]) from error
    on_gpu = torch.device(args.device).type == "cuda"
    plan = Plan(
        args.models,
        args.runtimes or ["eager", "folded", *["graph", "folded_graph"] * on_gpu],
        args.dtypes,
        args.threads,
        args.batch,
        args.size,
        args.rounds,
        args.device,
        not args.no_memory,
    )
    rows = measure(plan)
    header = (
        f"{date.today()}, {platform.machine()}, torch {torch.__version__}, {args.device}, forward only, "
        f"{args.size}x{args.size}, median of {args.rounds} interleaved rounds; speed: over "
        f"{label(args.models[0])}, eager, float32, same threads and batch"
    )
    print(f"{header}\n\n{as_markdown(rows)}")
    if args.out:
        write(rows, header, args.out)


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("benchmark", lambda: benchmark(args), args)


if __name__ == "__main__":
    main()
