"""What only a GPU can show of the CUDA operators: streams, devices, graphs, equal bits, sizes of real models."""

import pytest
import torch
from operator_cases import TOLERANCE, cast, random_arguments, relative_error, result_and_gradients

from dfmamba.ops import available_backends, dssm

reason = available_backends()["cuda"]
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

SIZE = (16, 16)
SHAPES = [  # batch, size, channels, groups, anchors, states; the last ones go through sample and scan one by one
    (32, (16, 16), 320, 5, 9, 16),
    (1, (16, 16), 320, 5, 9, 8),
    (2, (32, 32), 160, 5, 9, 16),
    (4, (8, 8), 640, 10, 25, 64),
    (2, (16, 16), 80, 5, 9, 8),
    (1, (64, 65), 64, 1, 9, 8),
]


def on_gpu(arguments, device="cuda"):
    return {name: value.to(device) for name, value in arguments.items()}


def small_arguments():
    torch.manual_seed(0)
    return on_gpu(cast(random_arguments(2, SIZE, 64, 1, 9, 8), torch.float32))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_of_real_models(shape, dtype):
    torch.manual_seed(1)
    batch, size, channels, groups, anchors, states = shape
    arguments = random_arguments(batch, size, channels, groups, anchors, states, dtype=torch.float32)
    arguments["weight"] = arguments["weight"] / anchors
    arguments["delta"] = arguments["delta"] - 3  # step sizes like those of a model
    arguments = on_gpu(cast(arguments, dtype))
    probe = torch.randn(arguments["x"].shape, device="cuda").to(dtype)
    doubles = {name: value.double() for name, value in arguments.items()}
    exact, exact_grads = result_and_gradients(dssm, doubles, probe, size=size, backend="reference")
    y, grads = result_and_gradients(dssm, arguments, probe, size=size, backend="cuda")
    forward, backward = TOLERANCE[dtype]
    assert relative_error(y, exact) < forward
    for name, grad in grads.items():
        assert relative_error(grad, exact_grads[name]) < backward, name


def test_same_bits_every_time():
    arguments, probe = small_arguments(), torch.randn(2, 256, 64, device="cuda")
    first = result_and_gradients(dssm, arguments, probe, size=SIZE, backend="cuda")
    for _ in range(5):
        y, grads = result_and_gradients(dssm, arguments, probe, size=SIZE, backend="cuda")
        assert torch.equal(y, first[0])
        assert all(torch.equal(grads[name], first[1][name]) for name in grads)


def test_runs_on_the_current_stream():
    arguments = small_arguments()
    expected = dssm(**arguments, size=SIZE, backend="cuda")
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    x = torch.zeros_like(arguments["x"])
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # cycles: whoever does not wait for this stream reads zeros
        x.copy_(arguments["x"])
        y = dssm(**(arguments | {"x": x}), size=SIZE, backend="cuda")
    stream.synchronize()
    assert torch.equal(y, expected)


def test_is_captured_in_a_graph():
    arguments, probe = small_arguments(), torch.randn(2, 256, 64, device="cuda")
    for _ in range(2):  # warm up outside of the capture
        result_and_gradients(dssm, arguments, probe, size=SIZE, backend="cuda")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured, captured_grads = result_and_gradients(dssm, arguments, probe, size=SIZE, backend="cuda")
    arguments["x"].mul_(2)
    graph.replay()
    torch.cuda.synchronize()
    y, grads = result_and_gradients(dssm, arguments, probe, size=SIZE, backend="cuda")
    assert torch.equal(captured, y)
    assert all(torch.equal(captured_grads[name], grads[name]) for name in grads)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_runs_on_the_device_of_its_arguments():
    arguments = small_arguments()
    expected = dssm(**arguments, size=SIZE, backend="cuda")
    y = dssm(**on_gpu(arguments, "cuda:1"), size=SIZE, backend="cuda")
    assert y.device == torch.device("cuda:1")
    assert torch.equal(y.cpu(), expected.cpu())


def test_does_not_synchronise():
    arguments = small_arguments()
    dssm(**arguments, size=SIZE, backend="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        dssm(**arguments, size=SIZE, backend="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_long_strides_are_counted_in_64_bits():
    length, channels = 1 << 15, 1 << 16  # 2^31 numbers
    if torch.cuda.mem_get_info()[0] < 24 << 30:
        pytest.skip("needs 24 GiB of GPU memory")
    x = torch.ones(1, length, channels, device="cuda", dtype=torch.bfloat16)
    x[:, -1] = 2
    offset = torch.zeros(1, length, 1, 1, 1, device="cuda")
    u = torch.ops.dfmamba.sample(x, offset, torch.ones(1, length, 1, 1, device="cuda", dtype=x.dtype), (length,))
    assert torch.equal(u, x)
    states = torch.full((1, length, 1), 1.0, device="cuda", dtype=x.dtype)
    A = torch.full((channels, 1), -1e30, device="cuda")  # forgets at once: y = d u
    y = torch.ops.dfmamba.scan(u, x, A, states, states, None, None, None, False)
    assert torch.equal(y, x * x)
