"""The benchmark of the operator compares like with like, and its figures mean what they are called."""

import math
from contextlib import nullcontext

import pytest
import torch
from PIL import Image

import benchmark_ops
from dfmamba.benchmark import operator_timing
from dfmamba.benchmark.plots import draw_operator_times

SIZE = (6, 5)


@pytest.fixture
def arguments():
    torch.manual_seed(0)
    return operator_timing.make_arguments(2, 64, *SIZE, 4, "cpu", torch.float32)


def test_all_candidates_compute_the_same(arguments):
    functions, leaves = operator_timing.candidates(arguments, SIZE)
    assert {"reference", "public parts"} <= set(functions) == set(leaves)
    expected = functions["reference"]()
    for name, function in functions.items():
        torch.testing.assert_close(
            function(), expected, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_every_leaf_gets_a_gradient(arguments):
    functions, leaves = operator_timing.candidates(arguments, SIZE)
    for name, function in functions.items():
        gradients = operator_timing.forward_and_backward(function, leaves[name])()
        assert all(gradient is not None for gradient in gradients), name


def test_candidates_of_attention_compute_the_same(monkeypatch):
    monkeypatch.setattr(operator_timing, "LEVELS", [(4, 3), (2, 2)])
    torch.manual_seed(0)
    arguments = operator_timing.make_attention_arguments(2, "cpu", torch.float32)
    assert arguments["locations"].shape == (2, 16, 8, 2, 4, 2)
    torch.testing.assert_close(arguments["weights"].sum((-1, -2)), torch.ones(2, 16, 8))
    functions = operator_timing.attention_candidates(arguments)
    expected = functions["reference"]()
    for function in functions.values():
        torch.testing.assert_close(function(), expected)
        assert all(g is not None for g in operator_timing.forward_and_backward(function, list(arguments.values()))())
    rows = operator_timing.compare_attention("cpu", torch.float32, [1], rounds=1)
    assert [row["candidate"] for row in rows] == list(functions)
    assert rows[0]["forward_speedup"] == rows[0]["forward_backward_speedup"] == 1
    assert rows[0]["shape"] == "16 queries, 8 x 32, 2 x 4 points"


def test_kept_memory_is_what_the_backward_pass_needs_beside_the_arguments():
    leaf = torch.ones(1024, 256, requires_grad=True)  # 1 MiB
    assert operator_timing.kept_mib(lambda: leaf * leaf, [leaf]) == 0
    assert operator_timing.kept_mib(lambda: leaf.exp(), [leaf]) == 1  # its result
    assert operator_timing.kept_mib(lambda: leaf.exp().exp(), [leaf]) == 2


def test_slope_is_the_exponent():
    assert operator_timing.slope([10, 100, 1000], [3e-5, 3e-3, 3e-1]) == pytest.approx(2)


def test_medians_are_of_every_function():
    calls = []
    medians = operator_timing.interleaved_medians(
        {name: lambda name=name: calls.append(name) for name in "ab"}, "cpu", 3
    )
    assert set(medians) == {"a", "b"}
    assert calls.count("a") == calls.count("b") == 2 + 3 * 5
    assert calls[4:9] == ["a"] * 5
    assert calls[9:14] == ["b"] * 5


def test_on_a_gpu_the_reference_runs_three_times_in_all(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in ("reference", "cuda")}
    assert set(operator_timing.interleaved_medians(functions, "cuda", 7)) == set(functions)
    assert calls.count("reference") == 3
    assert calls.count("cuda") == 2 + 7 * 5


def test_without_a_gpu_there_are_no_graphs():
    times = operator_timing.replay_times({"cpu": torch.zeros}, "cpu", 1)
    assert math.isnan(times["cpu"])


def fake_cuda(calls):
    """Return stand-ins for what `replayed` takes of torch.cuda: a clock that a replay moves by 2 ms."""
    clock = [0.0]

    class Stream:
        def wait_stream(self, other):
            calls.append("wait")

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.ms = clock[0]

        def synchronize(self):
            calls.append("synchronize")

        def elapsed_time(self, end):
            return end.ms - self.ms

    class CUDAGraph:
        def replay(self):
            calls.append("replay")
            clock[0] += 2.0

    return {
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": CUDAGraph,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
        "graph": lambda graph: nullcontext(),
    }


def test_a_graph_is_timed_by_events_around_its_replays(monkeypatch):
    calls = []
    for name, value in fake_cuda(calls).items():
        monkeypatch.setattr(torch.cuda, name, value)
    assert operator_timing.replayed(lambda: calls.append("call"), 3) == pytest.approx(2e-3)
    a_round = ["replay"] * operator_timing.REPLAYS + ["synchronize"]
    assert calls == ["wait", *["call"] * 3, "wait", "call", "replay", *a_round * 3]


def test_what_cannot_be_captured_is_said(monkeypatch, caplog):
    def capture(function, rounds):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(operator_timing, "replayed", capture)
    times = operator_timing.replay_times({"reference": None, "cuda": None}, "cuda", 1)
    assert all(map(math.isnan, times.values()))
    assert caplog.messages == ["cuda: no CUDA graph: CUDA error: operation not permitted when stream is capturing"]


def test_the_table_has_graphs_where_there_are_any(monkeypatch):
    row = {"batch": 1, "shape": "8, 2x2, N 1", "candidate": "cuda", "kept_mib": 0.0}
    row |= {"forward_ms": 1.0, "forward_backward_ms": 2.0, "forward_speedup": 3.0, "forward_backward_speedup": 4.0}
    none = {"forward_graph_ms": math.nan, "forward_backward_graph_ms": math.nan}
    some = {"forward_graph_ms": 0.0125, "forward_backward_graph_ms": math.nan}
    assert "graph" not in benchmark_ops.table([row | none], "C")[0]
    head, _, first, second = benchmark_ops.table([row | none, row | some], "C")
    assert head.endswith("| graph, forward ms | graph, both ms |")
    assert first.endswith("| 0.0 | - | - |")
    assert second.endswith("| 0.0 | 0.0125 | - |")


def test_the_picture_is_drawn_for_whatever_was_timed(tmp_path):
    rows = [
        {"batch": 1, "shape": "64, 8x8, N 16", "candidate": name, "forward_ms": 1.0} for name in ("reference", "cpu")
    ]
    draw_operator_times(rows, {64: (1e-3, 2e-3), 256: (4e-3, 8e-3)}, tmp_path / "times.png")
    with Image.open(tmp_path / "times.png") as picture:
        assert len(picture.convert("L").getcolors()) > 10
