"""The Triton backend: when it is chosen, what it says, that torch takes its operators, and that its kernels compile.

Where there is no GPU, its interpreter runs the tests of all backends for it: in a process of its own, because it must
be turned on before Triton is imported, and torch imports it early.
"""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from operator_cases import check_against_float64, operators_of, random_arguments, result_and_gradients

from dfmamba.ops import available_backends, backends, triton_backend

ROOT = Path(__file__).parents[2]
INTERPRETED = "TRITON_INTERPRET" in os.environ


def run_python(code, **environment):
    """Run code in a fresh Python and return what it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "projects"), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="these tests run without another process")
def test_in_the_interpreter():
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-q", "-k", "triton", "-m", "not slow"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100  # not skipped, one and all


# --- The choice -------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch, caplog):
    """Return a function that pretends that Triton runs on a GPU, for which there may be compiled kernels."""

    def pretend(native=False, triton=None, device="cuda"):
        monkeypatch.setattr(backends, "_NATIVE", frozenset({"cpu", "cuda"} if native else {"cpu"}))
        monkeypatch.setattr(backends, "LOAD_ERROR", None)
        monkeypatch.setattr(backends, "cuda_architectures", lambda: ())
        monkeypatch.setattr(triton_backend, "reason", lambda: triton)
        monkeypatch.setattr(triton_backend, "devices", lambda: ("cuda", "xpu"))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
        backends._gpu_reason_of.cache_clear()
        backends._log.cache_clear()
        caplog.set_level(logging.INFO)
        return SimpleNamespace(device=SimpleNamespace(type=device, index=0), dtype=torch.float32)

    yield pretend
    backends._gpu_reason_of.cache_clear()
    backends._log.cache_clear()


def test_a_gpu_without_compiled_kernels_runs_it_and_says_so_once(gpu, caplog):
    x = gpu()
    assert [backends.choose(None, x) for _ in range(3)] == ["triton"] * 3
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert re.search(r"in Triton, not the native ones: .*FORCE_CUDA=1 builds it", record.message)
    assert backends.choose("triton", x) == "triton"


def test_compiled_kernels_come_first(gpu, caplog):
    x = gpu(native=True)
    assert backends.choose(None, x) == "cuda"
    assert not caplog.records
    assert backends.choose(None, x, num_states=65) == "triton"  # which has no limit
    assert "N of at most 64, got 65" in caplog.text
    assert backends.choose(None, x, forward_mode=True) == "reference"
    with pytest.raises(ValueError, match="'triton' expects no forward-mode derivatives"):
        backends.choose("triton", x, forward_mode=True)


def test_an_intel_gpu_runs_it(gpu, caplog):
    assert backends.choose(None, gpu(device="xpu")) == "triton"
    assert "no native operators for this GPU" in caplog.text


def test_where_it_cannot_run_the_reference_says_why(gpu, caplog):
    x = gpu(triton="Triton cannot use the GPU (RuntimeError: Failed to find C compiler)")
    assert [backends.choose(None, x) for _ in range(2)] == ["reference"] * 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(r"slow reference: .*FORCE_CUDA=1 .*; Triton cannot use the GPU .*C compiler", record.message)
    with pytest.raises(ValueError, match=r"'triton' is not available: Triton cannot use the GPU"):
        backends.choose("triton", x)


def test_an_old_gpu_does_not_run_it(gpu, monkeypatch):
    x = gpu()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (6, 1))
    assert backends.choose(None, x) == "reference"
    with pytest.raises(ValueError, match=r"'triton' expects compute capability 7\.0 or later, got 6\.1"):
        backends.choose("triton", x)


def test_tensors_on_the_cpu_do_not_choose_it():
    assert backends.choose(None, torch.zeros(1)) in ("cpu", "reference")
    if not INTERPRETED and not torch.cuda.is_available():
        assert re.search("needs a GPU.*|not installed", available_backends()["triton"])


def test_without_triton_there_is_a_reason():
    said = run_python("""
import sys, torch
sys.modules["triton"] = None  # what an absent module looks like
torch.cuda.is_available = lambda: True
from dfmamba.ops import available_backends
print(available_backends()["triton"])
""")
    assert "Triton is not installed" in said


def test_the_interpreter_turned_on_too_late_is_told():
    pytest.importorskip("triton")
    said = run_python(
        """
import os
os.environ.pop("TRITON_INTERPRET", None)
import triton
os.environ["TRITON_INTERPRET"] = "1"
from dfmamba.ops import available_backends
print(available_backends()["triton"])
"""
    )
    assert "set it before Python starts" in said


def test_no_trace_by_jit_has_it():
    operators = operators_of("triton")
    x = torch.ones(1, 2, 1, device=operators.device)
    with pytest.raises(ValueError, match=r"'triton' expects no torch.jit.trace"):
        torch.jit.trace(lambda u: operators.selective_scan(u, u, -torch.ones(1, 1), u, u), x)


# --- The operators ----------------------------------------------------------------------------------------------------


def tiny_arguments(dtype=torch.float32, states=2):
    torch.manual_seed(0)
    return random_arguments(1, (2, 2), 4, 2, 1, states, dtype=dtype)


def test_more_states_than_the_compiled_kernels_take():
    check_against_float64(operators_of("triton"), tiny_arguments(states=100), torch.float32, (2, 2))


def test_torch_takes_the_operators():
    operators = operators_of("triton")
    a = {name: value.to(operators.device).requires_grad_() for name, value in tiny_arguments().items()}
    scanned = [a[name] for name in ("delta", "A", "B", "C", "D", "delta_bias")]
    sampled = [a[name] for name in ("x", "offset", "weight")]
    value = a["x"].detach().view(1, 4, 2, 2).requires_grad_()
    locations = torch.rand(1, 2, 2, 1, 1, 2, device=operators.device, requires_grad=True)
    weights = torch.rand(1, 2, 2, 1, 1, device=operators.device, requires_grad=True)
    ops = torch.ops.dfmamba_triton
    for operator, arguments in [
        (ops.dssm, (*sampled, *scanned, [2, 2], True)),
        (ops.scan, (a["x"], *scanned[:4], None, None, None, False)),
        (ops.deformable_attention, (value, locations, weights, [2, 2])),
    ]:
        torch.library.opcheck(operator.default, arguments, atol=1e-4, rtol=1e-4)


def test_deterministic_algorithms_are_what_it_has():
    operators, a = operators_of("triton"), tiny_arguments()
    probe = torch.ones(a["x"].shape)
    y, grads = result_and_gradients(operators.dssm, a, probe, size=(2, 2))
    torch.use_deterministic_algorithms(True)
    try:
        again, grads_again = result_and_gradients(operators.dssm, a, probe, size=(2, 2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(y, again)
    assert all(torch.equal(grads[name], grads_again[name]) for name in grads)


# --- The compiler: it needs no GPU ------------------------------------------------------------------------------------

PROBE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from dfmamba.ops import triton_sampling, triton_scan

backend, architecture, warp, dtype = sys.argv[1:]
target = GPUTarget(backend, int(architecture) if architecture.isdigit() else architecture, int(warp))
work = "fp64" if dtype == "fp64" else "fp32"
exact = "coords grad_coords d A D kept scratch grad_d grad_A grad_B grad_C grad_D".split()
either = "values weights out grad grad_values grad_weights u B C skip y grad_y grad_u grad_skip".split()
types = {**dict.fromkeys(exact, "*" + work), **dict.fromkeys(either, "*" + dtype)}
types |= {"order": "*i64", "starts": "*i32", "cells": "*i32"}
sampling = {"LOCATIONS": False, "AXES": 2, "WORK": getattr(triton.language, "float" + work[2:])}
scan = {"WORK": sampling["WORK"], "BLOCK_N": 8, "BLOCK_C": 32, "num_warps": 1}
for kernel, constants in [
    (triton_sampling.sample_kernel, {**sampling, "ADD": False, "BLOCK_K": 16, **triton_sampling._blocks(16, 64)}),
    (triton_sampling.point_gradients_kernel, {**sampling, "BLOCK_K": 16, **triton_sampling._blocks(16, 64)}),
    (triton_sampling.map_gradients_kernel, {**sampling, "BLOCK_E": 16, **triton_sampling._blocks(16, 64)}),
    (triton_scan.scan_kernel, scan),
    (triton_scan.scan_backward_kernel, {**scan, "CHUNK": 16}),
]:
    warps = constants.pop("num_warps")
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    compiled = triton.compile(ASTSource(kernel, signature, constants), target=target, options={"num_warps": warps})
    print(kernel.__name__, len(compiled.asm["hsaco" if backend == "hip" else "cubin"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize(
    ("target", "dtype"),
    [(("cuda", "80", "32"), "bf16"), (("cuda", "90", "32"), "fp32"), (("hip", "gfx90a", "64"), "fp16")],
    ids=str,
)
def test_every_kernel_compiles(target, dtype, tmp_path):
    pytest.importorskip("triton")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "projects"), "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROBE, *target, dtype]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    sizes = dict(line.split() for line in done.stdout.splitlines())
    assert len(sizes) == 5
    assert all(int(size) > 1000 for size in sizes.values())
