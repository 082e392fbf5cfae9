"""Time backbones and whole models against each other on this machine, interleaved in one run.

Ratios mean something, milliseconds little. For each model: parameters, multiply-adds of one image, and for each data
type, runtime, number of threads and batch size the median of images a second with the quartiles, the speed over the
first model named (eager, float32, same threads and batch), and the memory that weights and a forward pass need. All
weights are random. The CSV file has the times too.

Multiply-adds are torch's count of matrix products and convolutions, plus the scans and samplings by the formulas of
`SSM.multiply_adds` and `DSSM.multiply_adds`: 4 N + 2 for each token and channel of a scan with N states, 4 K for
each token and channel of a sampling with K anchors.

Runtimes: `eager`; `folded` (batch norms folded into convolutions, channels-last, and for our blocks what
`fold_for_inference` does); `compiled` (torch.compile of the whole graph); `graph` (a CUDA graph of the eager model).

    python tools/benchmark.py --models resnet50 dfmamba_tiny timm:swin_tiny_patch4_window7_224
    python tools/benchmark.py --models configs/dfmamba_interhand.py configs/baselines/*_interhand.py --out DIR
    python tools/benchmark.py --models configs/{baselines/resnet50,dfmamba}_interhand.py:backbone
"""

import argparse
import copy
import csv
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from command_line import add_common_arguments, launch, whole_number
from dfmamba.errors import UserError
from dfmamba.io.outputs import check_output_folder
from dfmamba.models import backbones
from dfmamba.models.backbones import ARCHS, DFMamba
from dfmamba.models.cost import RawEstimator, count_multiply_adds, count_parameters
from dfmamba.models.folding import fold_for_inference

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}  # glibc; bytes
Result = TypeVar("Result")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BACKBONE_OF = ".py:backbone"
RUNTIMES = ("eager", "folded", "compiled", "graph")
torch._dynamo.config.cache_size_limit = 256  # many models of one class, each compiled for its own sizes


class UnavailableError(Exception):
    """This model does not run this way; the message says why."""


@dataclass(frozen=True)
class Setting:
    """One way in which all models are timed."""

    runtime: str
    dtype: str
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.runtime}, {self.dtype}, {self.threads} threads, batch {self.batch}"


@dataclass(frozen=True)
class Row:
    """One model in one setting. Times in ms for one image, memory in MB beyond the process without the model."""

    model: str
    parameters_m: float
    multiply_adds_g: float
    runtime: str
    dtype: str
    threads: int
    batch: int
    low_ms: float
    median_ms: float
    high_ms: float
    images_per_s: float
    speed: float
    memory_mb: float


def torchvision_backbone(name: str) -> nn.Module:
    """Return a ResNet of torchvision without pooling and classifier."""
    import torchvision.models

    return nn.Sequential(*list(getattr(torchvision.models, name)(weights=None).children())[:-2])


def timm_backbone(name: str, size: int) -> nn.Module:
    """Return a timm model without its classifier, for square images of `size` px."""
    import timm

    try:
        return timm.create_model(name, features_only=True, img_size=size)
    except TypeError:  # convolutional models take any size and do not know the argument
        return timm.create_model(name, features_only=True)


def build_from_config(path: str) -> nn.Module:
    """Return the estimator of a config."""
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.engine.config import load_config

    config = load_config(path)
    init_default_scope(config.default_scope)
    return MODELS.build(config.model)


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    **{name: (lambda name=name: torchvision_backbone(name)) for name in ("resnet18", "resnet50")},
    **{f"dfmamba_{arch}": (lambda arch=arch: DFMamba(arch)) for arch in ARCHS},
    **{f"vmamba_{arch}": (lambda arch=arch: backbones.VMamba(arch)) for arch in backbones.VMAMBA_ARCHS},
    **{
        f"spatial_mamba_{arch}": (lambda arch=arch: backbones.SpatialMamba(arch))
        for arch in backbones.SPATIAL_MAMBA_ARCHS
    },
}


def build(name: str, size: int) -> nn.Module:
    """Return a model by its name: one of BACKBONES, `timm:<model>`, the path of a config, or path:backbone.

    Raises:
        UserError: There is no such model.
    """
    torch.manual_seed(0)
    if name.endswith(".py"):
        return RawEstimator(build_from_config(name)).eval()
    if name.endswith(BACKBONE_OF):
        return build_from_config(name.removesuffix(":backbone")).backbone.eval()
    if name.startswith("timm:"):
        return timm_backbone(name.removeprefix("timm:"), size).eval()
    if name not in BACKBONES:
        raise UserError(
            f"model: expected one of {', '.join(BACKBONES)}, timm:<model>, a config or <config>:backbone, got {name!r}"
        )
    return BACKBONES[name]().eval()


def prepare(model: nn.Module, setting: Setting, images: torch.Tensor) -> Callable[[torch.Tensor], object]:
    """Return the model as it runs in a setting; the images are an example of the input.

    Raises:
        UnavailableError: The model or this machine cannot run so.
    """
    try:
        model = copy.deepcopy(model).to(images.device, images.dtype)
        if setting.runtime == "folded":
            return fold_for_inference(model)
        if setting.runtime == "compiled":
            model = torch.compile(model, fullgraph=True, dynamic=False)
        elif setting.runtime == "graph":
            return captured(model, images)
        model(images)
    except Exception as error:  # of the compiler or a kernel: the table says so and goes on
        raise UnavailableError(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}") from error
    return model


def captured(model: nn.Module, images: torch.Tensor) -> Callable[[torch.Tensor], object]:
    """Return a function that replays a CUDA graph of the model on images of the same shape."""
    if not images.is_cuda:
        raise UnavailableError("a CUDA graph needs a GPU")
    still = images.clone()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(still)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = model(still)

    def replay(new: torch.Tensor) -> object:
        still.copy_(new)
        graph.replay()
        return output

    return replay


def time_once(function: Callable[[torch.Tensor], object], images: torch.Tensor) -> float:
    """Return the milliseconds for one image of one forward pass."""
    start = time.perf_counter()
    function(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return (time.perf_counter() - start) * 1e3 / len(images)


def compare(functions: dict, images: dict[str, torch.Tensor], rounds: int) -> dict:
    """Return the times of every function, taken in turns after a round that warms up. Keys are (model, setting)."""
    times: dict = {key: [] for key in functions}
    for number in range(rounds + 1):
        for key, function in functions.items():
            elapsed = time_once(function, images[key[1].dtype])
            if number > 0:
                times[key].append(elapsed)
    return times


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Return what a function of this module returns in a process that has done nothing before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def resident_mb(field: str) -> float:
    """Return a line of /proc/self/status in MB: VmRSS now, VmHWM at its highest."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


@torch.no_grad()
def memory_of_forward(name: str, size: int, setting: Setting, device: str) -> float:
    """Return the MB that weights and a forward pass need at most; to be called in a new process."""
    torch.set_num_threads(setting.threads)
    dtype = DTYPES[setting.dtype]
    images = torch.randn(setting.batch, 3, size, size, device=device, dtype=dtype)
    nn.Conv2d(3, 8, 3)(torch.randn(1, 3, 32, 32))  # the libraries load with the first use
    with torch.device("meta"):
        build(name, size)
    before = resident_mb("VmRSS")
    function = prepare(build(name, size), setting, images)
    gc.collect()  # the model that was copied
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    for _ in range(2):
        function(images)
    if images.is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return resident_mb("VmHWM") - before


def measure(args: argparse.Namespace) -> list[Row]:
    """Time all models in all settings; those of the same threads and batch size are interleaved.

    Each number of threads and batch size has a process of its own, which keeps freed memory. As it comes, glibc gives
    blocks above 32 MB back at once, and their pages fault in anew with every use: ResNet-50's eager batches of 8 took
    1.6 times as long, or not, depending on what the process had done before.
    """
    os.environ.update(KEEP_MEMORY)  # the new processes inherit it
    try:
        return [
            row
            for threads in args.threads
            for batch in args.batch
            for row in in_new_process(_measure, args, threads, batch)
        ]
    finally:
        for name in KEEP_MEMORY:
            del os.environ[name]


@torch.no_grad()
def _measure(args: argparse.Namespace, threads: int, batch: int) -> list[Row]:
    for name in KEEP_MEMORY:  # not in the processes in which memory is measured
        os.environ.pop(name)
    torch.set_num_threads(threads)
    settings = [Setting(runtime, dtype, threads, batch) for dtype in args.dtypes for runtime in args.runtimes]
    images = {
        dtype: torch.randn(batch, 3, args.size, args.size, device=args.device).to(DTYPES[dtype])
        for dtype in args.dtypes
    }
    cost: dict[str, tuple[float, float]] = {}
    functions: dict[tuple[str, Setting], Callable] = {}
    for name in args.models:
        model = build(name, args.size)
        cost[name] = count_parameters(model) / 1e6, count_multiply_adds(model, (3, args.size, args.size)) / 1e9
        for setting in settings:
            say(f"preparing {label(name)}, {setting}")
            try:
                functions[name, setting] = prepare(model, setting, images[setting.dtype])
            except UnavailableError as error:
                say(f"{name} does not run {setting.runtime} in {setting.dtype}: {error}")
    say(f"timing {len(functions)} of them in turns, {args.rounds} rounds")
    times = compare(functions, images, args.rounds)
    first = args.models[0], Setting("eager", "float32", threads, batch)
    reference = statistics.median(times[first]) if first in times else float("nan")
    say("measuring memory")
    rows = []
    for name, setting in functions:
        low, median, high = statistics.quantiles(times[name, setting], n=4, method="inclusive")
        left_out = args.no_memory or setting.runtime == "compiled"  # there a compiler's memory is in the way
        memory = float("nan") if left_out else in_new_process(memory_of_forward, name, args.size, setting, args.device)
        rows.append(
            Row(
                label(name),
                *cost[name],
                **asdict(setting),
                low_ms=low,
                median_ms=median,
                high_ms=high,
                images_per_s=1e3 / median,
                speed=reference / median,
                memory_mb=memory,
            )
        )
    return rows


def say(text: str) -> None:
    """Tell the user who waits where the tool is; the table alone goes to the standard output."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def label(name: str) -> str:
    """Return a model's name as the table shows it: a config without folder and ending."""
    if name.endswith(BACKBONE_OF):
        return f"{Path(name).stem} backbone"
    return Path(name).stem if name.endswith(".py") else name


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
    plot(rows, folder / "benchmark.png")


def plot(rows: list[Row], path: Path) -> None:
    """Draw images a second against parameters, one panel for each number of threads and batch size."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(row.threads, row.batch) for row in rows})
    models = {name: f"C{number}" for number, name in enumerate(dict.fromkeys(row.model for row in rows))}
    kinds = dict(zip(dict.fromkeys(f"{row.runtime}, {row.dtype}" for row in rows), "os^Dv<>p*hXP", strict=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels) + 2.5, 4.4), squeeze=False, layout="constrained"
    )
    for panel, axis in zip(panels, axes[0], strict=True):
        for row in rows:
            if (row.threads, row.batch) == panel:
                axis.plot(
                    row.parameters_m,
                    row.images_per_s,
                    color=models[row.model],
                    linestyle="none",
                    marker=kinds[f"{row.runtime}, {row.dtype}"],
                    alpha=0.8,
                )
        axis.set(xlabel="parameters (M)", ylabel="images / s", title=f"{panel[0]} threads, batch {panel[1]}")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    handles = [mpl.lines.Line2D([], [], color=colour, linewidth=4, label=name) for name, colour in models.items()]
    handles += [
        mpl.lines.Line2D([], [], color="black", linestyle="none", marker=marker, label=kind)
        for kind, marker in kinds.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)


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
        default=["eager", "folded"],
        help="how they run (default: eager folded)",
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
    rows = measure(args)
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
