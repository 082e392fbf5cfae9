"""Which backend runs, and what is said about it: GPUs that the build does not fit, and mamba_ssm's limits."""

import importlib
from types import SimpleNamespace

import pytest
import torch
from operator_cases import EXACT, TOLERANCE, random_arguments, relative_error
from test_fuzz import make_cancelling_case

from dfmamba.ops import (
    available_backends,
    backends,
    deform_sample,
    dssm,
    ext_loader,
    mamba_ssm_backend,
    reference,
    triton_backend,
)


@pytest.mark.parametrize(
    ("architectures", "runs", "does_not"),
    [
        ("sm_80 sm_90 compute_90", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 1)], [(6, 1), (7, 0), (7, 5)]),
        ("sm_80 sm_90", [(8, 0), (8, 9), (9, 0)], [(7, 5), (10, 0), (12, 0)]),
        ("sm_86", [(8, 6), (8, 9)], [(8, 0), (9, 0)]),
        ("sm_90a", [(9, 0)], [(8, 0), (9, 1), (10, 0)]),
        ("sm_100 compute_120", [(10, 0), (10, 3), (12, 0), (12, 1)], [(9, 0), (11, 0)]),
        ("compute_75", [(7, 5), (8, 0), (12, 0)], [(7, 0), (6, 0)]),
    ],
)
def test_what_a_build_runs_on(architectures, runs, does_not):
    architectures = tuple(architectures.split())
    assert [capability for capability in (*runs, *does_not) if ext_loader.runs_on(architectures, capability)] == runs


@pytest.fixture
def gpu(monkeypatch, caplog):
    """Return a function that pretends that there is a GPU of some compute capability, and what is logged."""

    def pretend(capability, built_for=("sm_80", "sm_90", "compute_90")):
        monkeypatch.setattr(backends, "_NATIVE", frozenset({"cpu", "cuda"}))
        monkeypatch.setattr(backends, "LOAD_ERROR", None)
        monkeypatch.setattr(backends, "cuda_architectures", lambda: built_for)
        monkeypatch.setattr(triton_backend, "reason", lambda: "Triton is not installed")  # test_triton.py has the rest
        for name, value in {
            "get_device_capability": capability,
            "is_available": True,
            "is_initialized": True,
            "current_device": 0,
        }.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
        backends._gpu_reason_of.cache_clear()
        backends._log.cache_clear()
        return SimpleNamespace(device=SimpleNamespace(type="cuda", index=0), dtype=torch.float32)

    yield pretend
    backends._gpu_reason_of.cache_clear()
    backends._log.cache_clear()


def test_a_gpu_that_the_build_does_not_fit_runs_the_reference_and_says_so_once(gpu, caplog):
    x = gpu((7, 5))
    assert [backends.choose(None, x) for _ in range(3)] == ["reference"] * 3
    (record,) = caplog.records
    assert "GPU 0 has compute capability 7.5" in record.message
    assert "sm_80, sm_90, compute_90" in record.message
    assert "TORCH_CUDA_ARCH_LIST=7.5" in record.message
    assert "compute capability 7.5" in available_backends()["cuda"]
    with pytest.raises(ValueError, match=r"'cuda'.*compute capability 7\.5"):
        backends.choose("cuda", x)
    assert backends.choose("reference", x) == "reference"


@pytest.mark.parametrize("built_for", [("sm_80", "sm_90", "compute_90"), ()])
def test_a_gpu_that_the_build_fits_runs_it(gpu, caplog, built_for):
    x = gpu((8, 6), built_for)  # a build that does not say what it is for is believed
    assert backends.choose(None, x) == backends.choose("cuda", x) == "cuda"
    assert available_backends()["cuda"] is None
    assert not caplog.records


def test_a_gpu_that_nothing_has_used_is_not_started_to_look_at_it(gpu, monkeypatch):
    gpu((7, 5))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert available_backends()["cuda"] is None


def test_tensors_without_memory_run_on_the_reference_without_a_word(caplog):
    y = dssm(**{name: value.to("meta") for name, value in random_arguments().items()}, size=(4, 5))
    assert y.device.type == "meta"
    assert y.shape == (2, 20, 6)
    assert not caplog.records


@pytest.fixture
def mamba_ssm(monkeypatch):
    """The package's scan as a stand-in on the CPU: what goes in and out has the dtype of u, as with its kernel."""

    def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
        assert all(tensor.is_contiguous() and tensor.dtype == u.dtype for tensor in (u, delta, B, C))
        assert D is None
        assert z is None
        u, delta, B, C = (tensor.transpose(1, 2) for tensor in (u, delta, B, C))
        return reference.selective_scan(u, delta, A, B, C, None, delta_bias, delta_softplus).transpose(1, 2)

    monkeypatch.setattr(mamba_ssm_backend, "_import_scan", lambda: scan)
    monkeypatch.setattr(importlib.import_module("dfmamba.ops.dssm"), "choose", lambda *_, **__: "mamba_ssm")


@pytest.mark.parametrize("number", range(8))
@pytest.mark.usefixtures("mamba_ssm")
def test_mamba_ssm_keeps_float32_inside(number):
    arguments, dtype, size, probe = make_cancelling_case(number)
    y = dssm(**arguments, size=size)
    assert y.dtype == dtype
    leaves = {name: value.clone().requires_grad_() for name, value in arguments.items()}
    grads = torch.autograd.grad(dssm(**leaves, size=size), list(leaves.values()), probe)
    doubles = {name: value.double().requires_grad_() for name, value in arguments.items()}
    exact = reference.dssm(**doubles, size=size)
    exact_grads = torch.autograd.grad(exact, list(doubles.values()), probe.double())
    forward, backward = TOLERANCE[dtype]
    assert relative_error(y, exact.detach()) < forward
    for name, ours, expected in zip(arguments, grads, exact_grads, strict=True):
        assert relative_error(ours, expected) < backward, name


@pytest.mark.usefixtures("mamba_ssm")
def test_mamba_ssm_keeps_float32_inside_under_autocast():
    torch.manual_seed(0)
    a = random_arguments(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = dssm(**a, size=(4, 5))
    low = {name: value if name in EXACT else value.bfloat16() for name, value in a.items()}
    exact = reference.dssm(**{name: value.double() for name, value in low.items()}, size=(4, 5))
    assert y.dtype == torch.bfloat16
    assert relative_error(y, exact) < 3e-3  # one rounding, that of the result


@pytest.mark.usefixtures("mamba_ssm")
def test_mamba_ssm_refuses_transforms_by_name():
    a = random_arguments(dtype=torch.float32)
    x = a.pop("x")
    with pytest.raises(RuntimeError, match=r"'mamba_ssm' cannot be transformed.*backend='reference' can"):
        torch.func.grad(lambda x: dssm(x, **a, size=(4, 5)).sum())(x)


@pytest.mark.parametrize(
    ("dtype", "num_states", "forward_mode", "message"),
    [
        (torch.float64, 8, False, "expects float32, float16 or bfloat16, got float64"),
        (torch.float32, 257, False, "N of at most 256, got 257"),
        (torch.float32, 8, True, "no forward-mode derivatives"),
    ],
)
def test_mamba_ssm_says_what_it_cannot_do(gpu, monkeypatch, dtype, num_states, forward_mode, message):
    x = gpu((8, 0))
    x.dtype = dtype
    monkeypatch.setattr(mamba_ssm_backend, "reason", lambda: None)
    assert backends.choose("mamba_ssm", SimpleNamespace(device=x.device, dtype=torch.bfloat16), 256) == "mamba_ssm"
    with pytest.raises(ValueError, match=message):
        backends.choose("mamba_ssm", x, num_states, forward_mode)


@pytest.mark.usefixtures("mamba_ssm")
def test_the_sampling_of_mamba_ssm_is_ours():
    if ext_loader.LOAD_ERROR is not None:
        pytest.skip(ext_loader.LOAD_ERROR)
    torch.manual_seed(0)
    a = random_arguments(dtype=torch.float32)
    sampling = [a[name] for name in ("x", "offset", "weight")]
    ours = deform_sample(*sampling, size=(4, 5), backend="mamba_ssm")
    assert torch.equal(ours, torch.ops.dfmamba.sample(*sampling, [4, 5]))
