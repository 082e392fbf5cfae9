"""Time the operators: our backends against what public parts give, and cost against the number of tokens.

All candidates run in turn within one process, several rounds, and the median counts: ratios hold on a busy machine too.
On a GPU each also runs as a CUDA graph, timed by the GPU: what is left without the host's time for the launches.
Writes benchmark_ops.md, .csv and .png into --out.
"""

import argparse
import csv
import math
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from command_line import add_common_arguments, launch, whole_number
from dfmamba.benchmark.operator_timing import (
    TOKENS,
    compare_attention,
    compare_backends,
    cost_of_tokens,
    slope,
)
from dfmamba.benchmark.plots import draw_operator_times
from dfmamba.errors import UserError
from dfmamba.io.outputs import check_output_folder
from dfmamba.ops import available_backends


def table(rows: list[dict[str, Any]], shape: str) -> list[str]:
    """Return the lines of a table of candidates; `shape` says what the shapes name. Graphs stand there if there are."""
    columns = ["batch", shape, "candidate", "forward ms", "forward + backward ms"]
    columns += ["x reference, forward", "x reference, both", "kept for backward MiB"]
    graphs = any(not math.isnan(row["forward_graph_ms"]) for row in rows)
    columns += ["graph, forward ms", "graph, both ms"] if graphs else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [f"{row['batch']}", row["shape"], row["candidate"]]
        cells += [f"{row['forward_ms']:.3f}", f"{row['forward_backward_ms']:.3f}", f"{row['forward_speedup']:.1f}"]
        cells += [f"{row['forward_backward_speedup']:.1f}", f"{row['kept_mib']:.1f}"]
        if graphs:
            times = (row["forward_graph_ms"], row["forward_backward_graph_ms"])
            cells += ["-" if math.isnan(time) else f"{time:.4f}" for time in times]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def report(
    rows: list[dict[str, Any]],
    attention_rows: list[dict[str, Any]],
    tokens: dict[int, tuple[float, float]],
    machine: str,
) -> str:
    """Return the result as Markdown."""
    lines = [machine, "", "DSSM:", "", *table(rows, "C, HxW, N"), ""]
    lines += ["Deformable attention:", "", *table(attention_rows, "queries, heads x channels, levels x points")]
    if tokens:
        lines += ["", "DSSM, native kernels, 64 channels, N 16, batch 1:", ""]
        lines += ["| tokens | forward ms | forward + backward ms |", "|---|---|---|"]
        lines += [f"| {count} | {1e3 * f:.3f} | {1e3 * b:.3f} |" for count, (f, b) in tokens.items()]
        large = [count for count in TOKENS if count >= 1024]
        slopes = [slope(large, [tokens[count][index] for count in large]) for index in (0, 1)]
        lines += ["", f"Log-log slope from 1,024 tokens: forward {slopes[0]:.3f}, forward + backward {slopes[1]:.3f}."]
    return "\n".join(lines) + "\n"


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--threads", type=whole_number(1), default=1, help="threads of the CPU (default: 1)")
    parser.add_argument(
        "--batches", type=whole_number(1), nargs="+", default=[1, 32], help="batch sizes (default: 1 32)"
    )
    parser.add_argument("--rounds", type=whole_number(1), default=7, help="rounds through all candidates (default: 7)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark_ops"), help="folder for the results")
    add_common_arguments(parser)
    return parser.parse_args()


def benchmark_ops(args: argparse.Namespace) -> None:
    """Measure, and write and print the results.

    Raises:
        UserError: There is no such device, or the folder for the results cannot be written.
    """
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU (torch.cuda.is_available())")
    check_output_folder("--out", args.out)
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    rows = compare_backends(args.device, dtype, args.batches, args.rounds)
    attention_rows = compare_attention(args.device, dtype, args.batches, args.rounds)
    native = available_backends()[args.device] is None
    tokens = cost_of_tokens(args.device, dtype, args.rounds) if native else {}
    capability = torch.ops.dfmamba.cpu_capability() if available_backends()["cpu"] is None else "none"
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} thread(s), kernels {capability}"
    facts = [
        f"{datetime.now(timezone.utc):%Y-%m-%d}",
        args.device,
        where,
        args.dtype,
        f"torch {torch.__version__}",
        platform.machine(),
    ]
    machine = f"{', '.join(facts)}; medians of {args.rounds} interleaved rounds."
    args.out.mkdir(parents=True, exist_ok=True)
    text = report(rows, attention_rows, tokens, machine)
    (args.out / "benchmark_ops.md").write_text(text)
    with (args.out / "benchmark_ops.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows + attention_rows)
    if tokens:
        draw_operator_times(rows, tokens, args.out / "benchmark_ops.png")
    print(text)


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("benchmark_ops", lambda: benchmark_ops(args), args)


if __name__ == "__main__":
    main()
