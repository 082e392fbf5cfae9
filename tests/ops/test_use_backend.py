"""A backend for all operators of a block of code, and for all blocks of a backbone."""

import asyncio
import importlib
import threading

import pytest
import torch
from operator_cases import random_arguments

from dfmamba.models import backbones
from dfmamba.ops import available_backends, backends, dssm, use_backend
from dfmamba.ops.ext_loader import LOAD_ERROR

needs_extension = pytest.mark.skipif(LOAD_ERROR is not None, reason=str(LOAD_ERROR))
SIZE = (4, 5)


def runs_on():
    """Return the backend that a call without an argument takes now."""
    return backends.choose(None, torch.zeros(1))


@pytest.fixture
def best():
    return runs_on()


def test_a_block_chooses_and_ends(best):
    with use_backend("reference"):
        assert runs_on() == "reference"
        with use_backend(None):
            assert runs_on() == best
        assert runs_on() == "reference"
    assert runs_on() == best


def test_a_block_ends_with_an_error_too(best):
    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert runs_on() == best


def test_it_decorates_a_function(best):
    assert use_backend("reference")(runs_on)() == "reference"
    assert runs_on() == best


@needs_extension
def test_the_argument_of_a_call_comes_first():
    a = random_arguments(dtype=torch.float32)
    native, reference = (dssm(**a, size=SIZE, backend=name) for name in ("cpu", "reference"))
    assert not torch.equal(native, reference)  # which one ran can be seen
    with use_backend("reference"):
        assert torch.equal(dssm(**a, size=SIZE), reference)
        assert torch.equal(dssm(**a, size=SIZE, backend="cpu"), native)
    with use_backend("cpu"):
        assert torch.equal(dssm(**a, size=SIZE, backend="reference"), reference)


def test_a_name_that_cannot_be_used_is_refused_with_the_reason(best):
    missing = {name: reason for name, reason in available_backends().items() if reason is not None}
    for name, reason in [("gpu", "expected None or one of reference, cpu"), *missing.items()]:
        with pytest.raises(ValueError, match=f"backend: .*{name}") as caught, use_backend(name):
            pytest.fail("entered")
        assert reason in str(caught.value)
    assert runs_on() == best


def test_other_threads_are_not_concerned(best):
    entered, done, found = threading.Event(), threading.Event(), []

    def other():
        entered.wait(10)
        found.append(runs_on())
        with use_backend(None):
            done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with use_backend("reference"):
        entered.set()
        done.wait(10)
        assert runs_on() == "reference"
    thread.join()
    assert found == [best]


def test_tasks_that_end_in_another_order_leave_nothing_behind(best):
    async def task(backend, first, last):
        await asyncio.sleep(first)
        with use_backend(backend):
            await asyncio.sleep(last - first)

    async def both():
        await asyncio.gather(task("reference", 0, 0.02), task(None, 0.01, 0.04))

    asyncio.run(both())
    assert runs_on() == best


@pytest.mark.slow
@needs_extension
def test_compiled_code_follows():
    torch._dynamo.reset()
    a = random_arguments(dtype=torch.float32)
    native, reference = (dssm(**a, size=SIZE, backend=name) for name in ("cpu", "reference"))

    def inside(**arguments):
        with use_backend("reference"):
            return dssm(**arguments, size=SIZE)

    compiled = torch.compile(dssm, fullgraph=True, backend="eager")
    assert torch.equal(compiled(**a, size=SIZE), native)
    with use_backend("reference"):
        assert torch.equal(compiled(**a, size=SIZE), reference)
    assert torch.equal(compiled(**a, size=SIZE), native)
    assert torch.equal(compiled(**a, size=SIZE, backend="reference"), reference)
    assert torch.equal(torch.compile(inside, fullgraph=True, backend="eager")(**a), reference)


# All of ours but the one around timm's models: whatever is added later must have the argument too.
BACKBONES = [getattr(backbones, name) for name in backbones.__all__ if name.lower().endswith("mamba")]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_passes_its_argument_to_every_operator(backbone, monkeypatch):
    asked, choose = [], backends.choose

    def watch(backend, *rest, **options):
        asked.append(backend)
        return choose(backend, *rest, **options)

    monkeypatch.setattr(importlib.import_module("dfmamba.ops.dssm"), "choose", watch)
    image = torch.randn(1, 3, 32, 32)
    torch.manual_seed(0)
    expected = backbone("nano", backend="reference").eval()(image)
    assert set(asked) == {"reference"}
    torch.manual_seed(0)
    model = backbone("nano").eval()
    with use_backend("reference"):
        for ours, theirs in zip(model(image), expected, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("block", ["mamba", "vss", "dssm"])
@pytest.mark.parametrize("norm_scan_input", [False, True])
def test_every_block_of_dfmamba_takes_it(block, norm_scan_input, monkeypatch):
    asked = []

    def watch(backend, *rest, **options):
        asked.append(backend)
        return "reference"

    monkeypatch.setattr(importlib.import_module("dfmamba.ops.dssm"), "choose", watch)
    model = backbones.DFMamba(
        "nano", blocks=[block] * 6, group_channels=16, backend="reference", norm_scan_input=norm_scan_input
    ).eval()
    model(torch.randn(1, 3, 32, 32))
    assert set(asked) == {"reference"}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_refuses_a_backend_that_cannot_be_used(backbone):
    with pytest.raises(ValueError, match="backend: expected None or one of reference"):
        backbone("nano", backend="gpu")
