"""Speed and memory of models on this machine: timed in turns within one process, memory in a new process each."""

import copy
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import torch
from torch import nn

from dfmamba.benchmark.models import build, label
from dfmamba.benchmark.processes import clear_peak, in_new_process, resident_kib
from dfmamba.models.cost import count_multiply_adds, count_parameters
from dfmamba.models.folding import fold_for_inference

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}  # glibc; bytes
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
RUNTIMES = ("eager", "folded", "compiled", "folded_compiled", "graph", "folded_graph")


class UnavailableError(Exception):
    """This model does not run this way; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What is timed: every model in every runtime and data type, for each number of threads and batch size.

    Args:
        models: Names, see `models.build`; speeds are over the first.
        runtimes: Some of RUNTIMES.
        dtypes: Some of DTYPES.
        threads: Numbers of CPU threads.
        batches: Batch sizes.
        size: Side of the square images in px.
        rounds: Each times everything once; at least 2, for quartiles.
        device: torch's name of the device.
        memory: Measure the memory, too, except of compiled models.
    """

    models: Sequence[str]
    runtimes: Sequence[str]
    dtypes: Sequence[str]
    threads: Sequence[int]
    batches: Sequence[int]
    size: int
    rounds: int
    device: str
    memory: bool


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


def prepare(model: nn.Module, setting: Setting, images: torch.Tensor) -> Callable[[torch.Tensor], object]:
    """Return the model as it runs in a setting; the images are an example of the input.

    Raises:
        UnavailableError: The model or this machine cannot run so.
    """
    try:
        model = copy.deepcopy(model).to(images.device, images.dtype)
        steps = setting.runtime.split("_")
        if "folded" in steps:
            model = fold_for_inference(model, packed="compiled" not in steps)
        if "graph" in steps:
            return captured(model, images)
        runs = torch.compile(model, fullgraph=True, dynamic=False) if "compiled" in steps else model
        runs(images)
    except Exception as error:  # of the compiler or a kernel: the table says so and goes on
        raise UnavailableError(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}") from error
    return runs


def captured(model: nn.Module, images: torch.Tensor) -> Callable[[torch.Tensor], object]:
    """Return a function that replays a CUDA graph of the model on images of the same shape."""
    if not images.is_cuda:
        raise UnavailableError("a CUDA graph needs a GPU")
    still = images.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # which copies the images
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


def time_in_turns(
    functions: Mapping[tuple[str, Setting], Callable[[torch.Tensor], object]],
    images: Mapping[str, torch.Tensor],
    rounds: int,
) -> dict[tuple[str, Setting], list[float]]:
    """Return the times of every function, taken in turns after a round that warms up. Keys are (model, setting)."""
    times: dict[tuple[str, Setting], list[float]] = {key: [] for key in functions}
    for number in range(rounds + 1):
        for key, function in functions.items():
            elapsed = time_once(function, images[key[1].dtype])
            if number > 0:
                times[key].append(elapsed)
    return times


@torch.no_grad()
def memory_of_forward(name: str, size: int, setting: Setting, device: str) -> float:
    """Return the MB that weights and a forward pass need at most; to be called in a new process."""
    torch.set_num_threads(setting.threads)
    dtype = DTYPES[setting.dtype]
    images = torch.randn(setting.batch, 3, size, size, device=device, dtype=dtype)
    nn.Conv2d(3, 8, 3)(torch.randn(1, 3, 32, 32))  # the libraries load with the first use
    with torch.device("meta"):
        build(name, size)
    before = resident_kib("VmRSS")
    function = prepare(build(name, size), setting, images)
    gc.collect()  # the model that was copied
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        clear_peak()
    for _ in range(2):
        function(images)
    if images.is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return (resident_kib("VmHWM") - before) / 1024


def measure(plan: Plan) -> list[Row]:
    """Time all models in all settings; those of the same threads and batch size are interleaved.

    Each number of threads and batch size has a process of its own, which keeps freed memory. As it comes, glibc gives
    blocks above 32 MB back at once, and their pages fault in again with every use: ResNet-50's eager batches of 8 took
    1.6 times as long, or not, depending on what the process had done before.
    """
    os.environ.update(KEEP_MEMORY)  # the new processes inherit it
    try:
        return [
            row
            for threads in plan.threads
            for batch in plan.batches
            for row in in_new_process(_measure, plan, threads, batch)
        ]
    finally:
        for name in KEEP_MEMORY:
            del os.environ[name]


@torch.no_grad()
def _measure(plan: Plan, threads: int, batch: int) -> list[Row]:
    for name in KEEP_MEMORY:  # not in the processes in which memory is measured
        os.environ.pop(name)
    torch._dynamo.config.cache_size_limit = 256  # many models of one class, each compiled for its own sizes
    torch.set_num_threads(threads)
    settings = [Setting(runtime, dtype, threads, batch) for dtype in plan.dtypes for runtime in plan.runtimes]
    images = {
        dtype: torch.randn(batch, 3, plan.size, plan.size, device=plan.device).to(DTYPES[dtype])
        for dtype in plan.dtypes
    }
    cost: dict[str, tuple[float, float]] = {}
    functions: dict[tuple[str, Setting], Callable[[torch.Tensor], object]] = {}
    for name in plan.models:
        model = build(name, plan.size)
        cost[name] = count_parameters(model) / 1e6, count_multiply_adds(model, (3, plan.size, plan.size)) / 1e9
        for setting in settings:
            say(f"preparing {label(name)}, {setting}")
            try:
                functions[name, setting] = prepare(model, setting, images[setting.dtype])
            except UnavailableError as error:
                say(f"{name} does not run {setting.runtime} in {setting.dtype}: {error}")
    say(f"timing {len(functions)} of them in turns, {plan.rounds} rounds")
    times = time_in_turns(functions, images, plan.rounds)
    first = plan.models[0], Setting("eager", "float32", threads, batch)
    reference = statistics.median(times[first]) if first in times else float("nan")
    say("measuring memory")
    rows = []
    for name, setting in functions:
        low, median, high = statistics.quantiles(times[name, setting], n=4, method="inclusive")
        left_out = not plan.memory or "compiled" in setting.runtime  # there a compiler's memory is in the way
        memory = float("nan") if left_out else in_new_process(memory_of_forward, name, plan.size, setting, plan.device)
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
