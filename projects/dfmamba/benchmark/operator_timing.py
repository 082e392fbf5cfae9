"""Times of the operators: our backends beside what public parts give, and the cost against the number of tokens.

On a GPU two rivals count: 'public parts', torchvision's deformable convolution, and 'mamba_ssm', a gather as DCNv4's
(a warp a token, channels in its lanes), each with the scan of the mamba_ssm package where that is installed.
"""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from dfmamba.models.layers.position_encoding import pixel_centers
from dfmamba.ops import available_backends, dssm, multi_scale_deformable_attention, selective_scan

Call = Callable[[], Tensor]
Key = TypeVar("Key")
# The DSSM blocks of 'tiny' at 256x256 pixels, and one larger map: channels, height, width, states
SHAPES = [(320, 16, 16, 8), (320, 16, 16, 16), (576, 8, 8, 8), (576, 8, 8, 16), (160, 32, 32, 16)]
# The attention of A2J's encoder at 256x256 pixels, where every pixel of the levels is a query
LEVELS = [(32, 32), (16, 16), (8, 8), (4, 4)]
HEADS, POINTS, HEAD_CHANNELS = 8, 4, 32
TOKENS = [64, 256, 1024, 4096, 16384, 65536]
SLOW_S = 0.5  # a candidate above this runs in three rounds only
SELDOM = "reference"  # on a GPU runs three times in all: it launches some thousand kernels a call
REPLAYS = 10  # of a CUDA graph, between two events

_logger = logging.getLogger(__name__)


def make_arguments(
    batch: int, channels: int, height: int, width: int, states: int, device: str, dtype: torch.dtype
) -> dict[str, Any]:
    """Return arguments of `dssm` with 9 anchors, one offset group for 64 channels (32 where 64 do not fit)."""
    length, groups = height * width, max(1, channels // (64 if channels % 64 == 0 else 32))

    def randn(*shape: int, to: torch.dtype = dtype) -> Tensor:
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


def public_parts(arguments: dict[str, Any], size: tuple[int, int], scan_backend: str) -> tuple[Call, list[Tensor]]:
    """Return DSSM put together from torchvision's deformable convolution and the best scan there is, and its leaves."""
    batch, _, channels = arguments["x"].shape
    as_map = {}  # converted ahead and not timed: a user's maps would be channels-first
    for name in ("x", "offset", "weight"):
        channels_first = arguments[name].detach().flatten(2).transpose(1, 2)
        as_map[name] = channels_first.reshape(batch, -1, *size).contiguous().requires_grad_()
    ones = torch.ones(channels, 1, 3, 3, device=as_map["x"].device, dtype=as_map["x"].dtype)
    delta, A, B, C = (arguments[name] for name in ("delta", "A", "B", "C"))

    def run() -> Tensor:
        offset = as_map["offset"].to(as_map["x"].dtype)
        u = deform_conv2d(as_map["x"], offset, ones, padding=1, mask=as_map["weight"]).flatten(2).transpose(1, 2)
        y = selective_scan(u, delta, A, B, C, delta_bias=arguments["delta_bias"], backend=scan_backend)
        return y + arguments["D"].to(y.dtype) * as_map["x"].flatten(2).transpose(1, 2)

    return run, [*as_map.values(), delta, A, B, C, arguments["D"], arguments["delta_bias"]]


def candidates(arguments: dict[str, Any], size: tuple[int, int]) -> tuple[dict[str, Call], dict[str, list[Tensor]]]:
    """Return name -> function and name -> tensors to differentiate, for the implementations that run on this device."""
    device = arguments["x"].device.type
    usable = [name for name, reason in available_backends().items() if reason is None]
    on_gpu = [] if device == "cpu" else ["triton", "mamba_ssm"]  # Triton's interpreter is not worth measuring
    names = ["reference", *(name for name in (device, *on_gpu) if name in usable)]
    found: dict[str, Call] = {name: partial(dssm, **arguments, size=size, backend=name) for name in names}
    leaves = {name: list(arguments.values()) for name in names}
    scan_backend = "mamba_ssm" if "mamba_ssm" in usable else "reference"
    found["public parts"], leaves["public parts"] = public_parts(arguments, size, scan_backend)
    return found, leaves


def timed(function: Callable[[], object], device: str) -> float:
    """Return the seconds that a call takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved_medians(functions: Mapping[Key, Callable[[], object]], device: str, rounds: int) -> dict[Key, float]:
    """Return name -> median seconds; every function runs once a round, quick ones five times."""
    seldom = {SELDOM} if device == "cuda" else set()
    first = {name: min(timed(f, device) for _ in range(1 if name in seldom else 2)) for name, f in functions.items()}
    times: dict[Key, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name, function in functions.items():
            if name in seldom and number < 2:
                times[name].append(timed(function, device))
            elif name not in seldom and (first[name] < SLOW_S or number < 3):
                times[name] += [timed(function, device) for _ in range(5 if first[name] < 0.05 else 1)]
    return {name: statistics.median(values) for name, values in times.items()}


def replayed(function: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of a call that a CUDA graph replays, by the GPU's clock: without the host's part.

    Raises:
        RuntimeError: The call cannot be captured, for one because it waits for the GPU.
    """
    current, stream = torch.cuda.current_stream(), torch.cuda.Stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):  # as torch asks for: what is set up at a first call must not be captured
        for _ in range(3):
            function()
    current.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    graph.replay()
    times = []
    for _ in range(rounds):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / REPLAYS)  # from ms
    return statistics.median(times)


def replay_times(functions: Mapping[Key, Callable[[], object]], device: str, rounds: int) -> dict[Key, float]:
    """Return name -> seconds by `replayed`; NaN on a CPU, for the reference, and where a call cannot be captured."""
    times = dict.fromkeys(functions, float("nan"))
    for name, function in functions.items():
        if device != "cuda" or name == SELDOM:
            continue
        try:
            times[name] = replayed(function, rounds)
        except RuntimeError as error:
            _logger.warning("%s: no CUDA graph: %s", name, str(error).strip().splitlines()[0])
    return times


def forward_and_backward(function: Call, leaves: Sequence[Tensor]) -> Callable[[], object]:
    """Return a function that also computes all gradients."""
    return lambda: torch.autograd.grad(function().float().sum(), leaves, allow_unused=True)


def kept_mib(function: Call, leaves: Sequence[Tensor]) -> float:
    """Return the memory that a forward pass keeps for the backward pass beside its arguments, in MiB."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function()
    for tensor in leaves:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(storages.values()) / 2**20


def make_attention_arguments(batch: int, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return tensors for `multi_scale_deformable_attention`: points lie about two pixels from the query's own."""
    extents = torch.tensor([(width, height) for height, width in LEVELS], device=device, dtype=torch.float32)
    centers = torch.cat([pixel_centers(height, width, like=extents) for height, width in LEVELS])
    shape = (batch, len(centers), HEADS, len(LEVELS), POINTS)
    offsets = 2 * torch.randn(*shape, 2, device=device) / extents[:, None]
    return {
        "value": torch.randn(batch, len(centers), HEADS, HEAD_CHANNELS, device=device).to(dtype).requires_grad_(),
        "locations": (centers[:, None, None, None] + offsets).requires_grad_(),
        "weights": torch.randn(shape, device=device).flatten(-2).softmax(-1).view(shape).to(dtype).requires_grad_(),
    }


def attention_candidates(arguments: dict[str, Tensor]) -> dict[str, Call]:
    """Return name -> function for the implementations of deformable attention that run on this device."""
    device = arguments["value"].device.type
    own = "cpu" if device == "cpu" else "triton"  # there is no kernel in CUDA
    names = ["reference", own] if available_backends()[own] is None else ["reference"]
    return {name: partial(multi_scale_deformable_attention, **arguments, sizes=LEVELS, backend=name) for name in names}


def compare_candidates(
    functions: Mapping[str, Call], leaves: Mapping[str, Sequence[Tensor]], device: str, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for every candidate; 'reference' is among them."""
    with torch.no_grad():
        forward = interleaved_medians(functions, device, rounds)
        forward_graph = replay_times(functions, device, rounds)
    kept = {name: kept_mib(function, leaves[name]) for name, function in functions.items()}
    differentiated = {n: forward_and_backward(f, leaves[n]) for n, f in functions.items()}
    both = interleaved_medians(differentiated, device, rounds)
    both_graph = replay_times(differentiated, device, rounds)
    return [
        {
            "candidate": name,
            "forward_ms": 1e3 * forward[name],
            "forward_backward_ms": 1e3 * both[name],
            "forward_graph_ms": 1e3 * forward_graph[name],
            "forward_backward_graph_ms": 1e3 * both_graph[name],
            "forward_speedup": forward["reference"] / forward[name],
            "forward_backward_speedup": both["reference"] / both[name],
            "kept_mib": kept[name],
        }
        for name in functions
    ]


def compare_backends(device: str, dtype: torch.dtype, batches: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Return a row of DSSM for every shape, batch and candidate."""
    rows = []
    for batch in batches:
        for channels, height, width, states in SHAPES:
            torch.manual_seed(0)
            arguments = make_arguments(batch, channels, height, width, states, device, dtype)
            functions, leaves = candidates(arguments, (height, width))
            what = {"batch": batch, "shape": f"{channels}, {height}x{width}, N {states}"}
            rows += [what | row for row in compare_candidates(functions, leaves, device, rounds)]
    return rows


def compare_attention(device: str, dtype: torch.dtype, batches: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Return a row of deformable attention for every batch and candidate."""
    rows = []
    for batch in batches:
        torch.manual_seed(0)
        arguments = make_attention_arguments(batch, device, dtype)
        functions = attention_candidates(arguments)
        leaves = {name: list(arguments.values()) for name in functions}
        queries = arguments["locations"].shape[1]
        shape = f"{queries:,} queries, {HEADS} x {HEAD_CHANNELS}, {len(LEVELS)} x {POINTS} points"
        what = {"batch": batch, "shape": shape}
        rows += [what | row for row in compare_candidates(functions, leaves, device, rounds)]
    return rows


def cost_of_tokens(device: str, dtype: torch.dtype, rounds: int) -> dict[int, tuple[float, float]]:
    """Return tokens -> median (forward, forward + backward) seconds of the native kernels, for 64 channels and N 16."""
    functions: dict[tuple[int, str], Callable[[], object]] = {}
    for tokens in TOKENS:
        side = round(tokens**0.5)
        arguments = make_arguments(1, 64, side, side, 16, device, dtype)

        def forward(arguments: dict[str, Any] = arguments, side: int = side) -> None:
            with torch.no_grad():
                dssm(**arguments, size=(side, side))

        def traced(arguments: dict[str, Any] = arguments, side: int = side) -> Tensor:
            return dssm(**arguments, size=(side, side))

        functions[tokens, "forward"] = forward
        functions[tokens, "both"] = forward_and_backward(traced, list(arguments.values()))
    medians = interleaved_medians(functions, device, rounds)
    return {tokens: (medians[tokens, "forward"], medians[tokens, "both"]) for tokens in TOKENS}


def slope(tokens: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of cost against tokens on logarithmic axes: 1 is linear."""
    return float(np.polyfit(np.log(tokens), np.log(seconds), 1)[0])
