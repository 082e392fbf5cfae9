"""Time the DSSM operator: our backends against what public parts give, and cost against the number of tokens.

All candidates run in turn within one process, several rounds, and the median counts: ratios hold on a busy machine too.
Writes benchmark_ops.md, .csv and .png into --out.
"""

import argparse
import csv
import platform
import statistics
import time
from datetime import datetime, timezone
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torchvision.ops import deform_conv2d

from command_line import add_common_arguments, launch, whole_number
from dfmamba.errors import UserError
from dfmamba.io.outputs import check_output_folder
from dfmamba.ops import available_backends, dssm, selective_scan

# The DSSM blocks of 'tiny' at 256x256 pixels, and one larger map: channels, height, width, states
SHAPES = [(320, 16, 16, 8), (320, 16, 16, 16), (576, 8, 8, 8), (576, 8, 8, 16), (160, 32, 32, 16)]
TOKENS = [64, 256, 1024, 4096, 16384, 65536]
SLOW_S = 0.5  # a candidate above this runs in three rounds only


def make_arguments(batch, channels, height, width, states, device, dtype):
    """Return arguments of `dssm` with 9 anchors, one offset group for 64 channels (32 where 64 do not fit)."""
    length, groups = height * width, max(1, channels // (64 if channels % 64 == 0 else 32))

    def randn(*shape, to=dtype):
        return torch.randn(*shape, device=device).to(to).requires_grad_()

    return {
        "x": randn(batch, length, channels),
        "offset": randn(batch, length, groups, 9, 2, to=torch.float32),
        "weight": randn(batch, length, groups, 9),
        "delta": randn(batch, length, channels),
        "A": (-torch.rand(channels, states, device=device) * states).requires_grad_(),
        "B": randn(batch, length, states),
        "C": randn(batch, length, states),
        "D": randn(channels, to=torch.float32),
        "delta_bias": randn(channels, to=torch.float32),
    }


def public_parts(arguments, size, scan_backend):
    """Return DSSM put together from torchvision's deformable convolution and the best scan there is, and its leaves."""
    batch, _, channels = arguments["x"].shape
    as_map = {}  # converted ahead and not timed: a user's maps would be channels-first
    for name in ("x", "offset", "weight"):
        channels_first = arguments[name].detach().flatten(2).transpose(1, 2)
        as_map[name] = channels_first.reshape(batch, -1, *size).contiguous().requires_grad_()
    ones = torch.ones(channels, 1, 3, 3, device=as_map["x"].device, dtype=as_map["x"].dtype)
    scanned = [arguments[name] for name in ("delta", "A", "B", "C")]

    def run():
        offset = as_map["offset"].to(as_map["x"].dtype)
        u = deform_conv2d(as_map["x"], offset, ones, padding=1, mask=as_map["weight"]).flatten(2).transpose(1, 2)
        y = selective_scan(u, *scanned, None, arguments["delta_bias"], backend=scan_backend)
        return y + arguments["D"].to(y.dtype) * as_map["x"].flatten(2).transpose(1, 2)

    return run, [*as_map.values(), *scanned, arguments["D"], arguments["delta_bias"]]


def candidates(arguments, size):
    """Return name -> function and name -> tensors to differentiate, for the implementations that run on this device."""
    device = arguments["x"].device.type
    usable = [name for name, reason in available_backends().items() if reason is None]
    names = ["reference", *(name for name in (device, "mamba_ssm") if name in usable)]
    found = {name: lambda name=name: dssm(**arguments, size=size, backend=name) for name in names}
    leaves = {name: list(arguments.values()) for name in names}
    scan_backend = "mamba_ssm" if "mamba_ssm" in usable else "reference"
    found["public parts"], leaves["public parts"] = public_parts(arguments, size, scan_backend)
    return found, leaves


def timed(function, device):
    """Return the seconds that a call takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved_medians(functions, device, rounds):
    """Return name -> median seconds; every function runs once a round, quick ones five times."""
    first = {name: min(timed(f, device), timed(f, device)) for name, f in functions.items()}
    times = {name: [] for name in functions}
    for number in range(rounds):
        for name, function in functions.items():
            if first[name] < SLOW_S or number < 3:
                times[name] += [timed(function, device) for _ in range(5 if first[name] < 0.05 else 1)]
    return {name: statistics.median(values) for name, values in times.items()}


def forward_and_backward(function, leaves):
    """Return a function that also computes all gradients."""
    return lambda: torch.autograd.grad(function().float().sum(), leaves, allow_unused=True)


def kept_mib(function, leaves):
    """Return the memory that a forward pass keeps for the backward pass beside its arguments, in MiB."""
    storages = {}

    def note(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function()
    for tensor in leaves:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(storages.values()) / 2**20


def compare(device, dtype, batches, rounds):
    """Return a row for every shape, batch and candidate."""
    rows = []
    for batch in batches:
        for channels, height, width, states in SHAPES:
            torch.manual_seed(0)
            arguments = make_arguments(batch, channels, height, width, states, device, dtype)
            functions, leaves = candidates(arguments, (height, width))
            with torch.no_grad():
                forward = interleaved_medians(functions, device, rounds)
            kept = {name: kept_mib(function, leaves[name]) for name, function in functions.items()}
            differentiated = {n: forward_and_backward(f, leaves[n]) for n, f in functions.items()}
            both = interleaved_medians(differentiated, device, rounds)
            for name in functions:
                rows.append(
                    {
                        "batch": batch,
                        "shape": f"{channels}, {height}x{width}, N {states}",
                        "candidate": name,
                        "forward_ms": 1e3 * forward[name],
                        "forward_backward_ms": 1e3 * both[name],
                        "forward_speedup": forward["reference"] / forward[name],
                        "forward_backward_speedup": both["reference"] / both[name],
                        "kept_mib": kept[name],
                    }
                )
    return rows


def cost_of_tokens(device, dtype, rounds):
    """Return tokens -> median (forward, forward + backward) seconds of the native kernels, for 64 channels and N 16."""
    functions = {}
    for tokens in TOKENS:
        side = round(tokens**0.5)
        arguments = make_arguments(1, 64, side, side, 16, device, dtype)

        def forward(arguments=arguments, side=side):
            with torch.no_grad():
                dssm(**arguments, size=(side, side))

        def traced(arguments=arguments, side=side):
            return dssm(**arguments, size=(side, side))

        functions[tokens, "forward"] = forward
        functions[tokens, "both"] = forward_and_backward(traced, list(arguments.values()))
    medians = interleaved_medians(functions, device, rounds)
    return {tokens: (medians[tokens, "forward"], medians[tokens, "both"]) for tokens in TOKENS}


def slope(tokens, seconds):
    """Return the slope of cost against tokens on logarithmic axes: 1 is linear."""
    return float(np.polyfit(np.log(tokens), np.log(seconds), 1)[0])


def plot(rows, tokens, path):
    """Draw the times of batch 1 and the cost against tokens."""
    figure, (bars, line) = plt.subplots(1, 2, figsize=(12, 4.5))
    first = [row for row in rows if row["batch"] == rows[0]["batch"]]
    shapes = list(dict.fromkeys(row["shape"] for row in first))
    names = list(dict.fromkeys(row["candidate"] for row in first))
    for index, name in enumerate(names):
        height = [row["forward_ms"] for row in first if row["candidate"] == name]
        bars.bar(np.arange(len(shapes)) + 0.8 * index / len(names), height, 0.8 / len(names), label=name)
    bars.set(yscale="log", ylabel="forward, ms", title=f"DSSM, batch {rows[0]['batch']}")
    bars.set_xticks(np.arange(len(shapes)) + 0.3, shapes, rotation=20, fontsize=8)
    bars.legend()
    for index, label in enumerate(("forward", "forward + backward")):
        line.loglog(TOKENS, [1e3 * tokens[count][index] for count in TOKENS], "o-", label=label)
    line.set(xlabel="tokens", ylabel="ms", title="native, 64 channels, N 16, batch 1")
    line.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def report(rows, tokens, machine):
    """Return the result as Markdown."""
    lines = [
        machine,
        "",
        "| batch | C, HxW, N | candidate | forward ms | forward + backward ms | x reference, forward "
        "| x reference, both | kept for backward MiB |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        lines.append(
            f"| {row['batch']} | {row['shape']} | {row['candidate']} | {row['forward_ms']:.3f} "
            f"| {row['forward_backward_ms']:.3f} | {row['forward_speedup']:.1f} "
            f"| {row['forward_backward_speedup']:.1f} | {row['kept_mib']:.1f} |"
        )
    if tokens:
        lines += ["", "Native kernels, 64 channels, N 16, batch 1:", ""]
        lines += ["| tokens | forward ms | forward + backward ms |", "|---|---|---|"]
        lines += [f"| {count} | {1e3 * f:.3f} | {1e3 * b:.3f} |" for count, (f, b) in tokens.items()]
        large = [count for count in TOKENS if count >= 1024]
        slopes = [slope(large, [tokens[count][index] for count in large]) for index in (0, 1)]
        lines += ["", f"Log-log slope from 1,024 tokens: forward {slopes[0]:.3f}, forward + backward {slopes[1]:.3f}."]
    return "\n".join(lines) + "\n"


def parse_args():
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


def benchmark_ops(args):
    """Measure, and write and print the results.

    Raises:
        UserError: There is no such device, or the folder for the results cannot be written.
    """
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU (torch.cuda.is_available())")
    check_output_folder("--out", args.out)
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    rows = compare(args.device, dtype, args.batches, args.rounds)
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
    text = report(rows, tokens, machine)
    (args.out / "benchmark_ops.md").write_text(text)
    with (args.out / "benchmark_ops.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    if tokens:
        plot(rows, tokens, args.out / "benchmark_ops.png")
    print(text)


def main():
    """Run the tool."""
    args = parse_args()
    launch("benchmark_ops", lambda: benchmark_ops(args), args)


if __name__ == "__main__":
    main()
