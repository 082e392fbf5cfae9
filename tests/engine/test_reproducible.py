"""Random numbers follow the place in the training: not the process, not the worker, not the start."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from dfmamba.engine.reproducible import SeededDataset, SeededSampler, seed_random_numbers, seeded_loader
from dfmamba.engine.runner import ReproducibleRunner


class Draws(Dataset):
    """Samples that are what each generator draws."""

    metainfo: dict = {"name": "draws"}  # noqa: RUF012

    def __init__(self, length: int = 11) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> list[float]:
        return [index, random.random(), np.random.rand(), float(torch.rand(()))]  # noqa: NPY002


def make_loader(workers: int = 0, seed: int = 5) -> DataLoader:
    from mmengine.registry import DATASETS

    if "Draws" not in DATASETS.module_dict:
        DATASETS.register_module(module=Draws)
    config = seeded_loader(
        {
            "dataset": {"type": "Draws"},
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "batch_size": 2,
            "num_workers": workers,
            "persistent_workers": workers > 0,
        },
        seed,
    )
    return ReproducibleRunner.build_dataloader(config, seed=seed)


def load(workers: int = 0, epoch: int = 0, skip: int = 0, seed: int = 5) -> list[list[float]]:
    loader = make_loader(workers, seed)
    loader.sampler.set_epoch(epoch)
    loader.sampler.skip(skip)
    samples = []
    for batch in loader:
        samples += [list(map(float, sample)) for sample in zip(*batch, strict=True)] if len(batch) == 4 else batch
    return samples


def test_workers_and_what_was_drawn_before_do_not_matter():
    first = load()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert load() == first
    assert load(workers=2) == first
    assert load(workers=1) == first


def test_epochs_seeds_and_samples_differ():
    samples = load()
    assert len({tuple(sample[1:]) for sample in samples}) == len(samples)
    assert {tuple(s) for s in load(epoch=1)}.isdisjoint(map(tuple, samples))
    assert {tuple(s) for s in load(seed=6)}.isdisjoint(map(tuple, samples))


def test_a_pass_that_begins_later_is_the_rest_of_the_whole_one():
    assert load(skip=4) == load()[4:]
    assert load(workers=1, skip=4) == load()[4:]


def test_the_order_is_mmengines_own():
    plain = DefaultSampler(Draws(), shuffle=True, seed=3)
    plain.set_epoch(2)
    seeded = SeededSampler(Draws(), {"type": "DefaultSampler", "shuffle": True}, sample_seed=9, seed=3)
    seeded.set_epoch(2)
    assert list(seeded) == list(plain)
    assert len(seeded) == len(plain)
    assert not seeded.is_endless
    assert SeededSampler(Draws(), {"type": "InfiniteSampler"}, 9, 3).is_endless == hasattr(InfiniteSampler, "skip")


def test_the_data_set_keeps_its_own_attributes():
    import pickle

    wrapped = SeededDataset(Draws())
    assert wrapped.metainfo == {"name": "draws"}
    assert len(pickle.loads(pickle.dumps(wrapped))) == 11
    with pytest.raises(AttributeError):
        _ = wrapped.no_such_thing


def test_all_generators_are_set():
    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002

    seed_random_numbers("step", 0, 1)
    first = draw()
    draw()
    seed_random_numbers("step", 0, 1)
    assert draw() == first
    seed_random_numbers("step", 0, 2)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


LEAVES_WITH_WORKERS = """
import atexit, sys, time
atexit.register(lambda: [time.sleep(0.001) for _ in range(500)])  # runs after ours, while the worker ends
sys.path.insert(0, {folder!r})
from test_reproducible import make_loader
batches = iter(make_loader(workers=1))
next(batches)
sys.exit(3)  # `batches` is still there
"""


@pytest.mark.slow
def test_a_process_that_ends_does_not_wait_for_workers_that_are_deaf_to_sigterm():
    script = LEAVES_WITH_WORKERS.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, capture_output=True)
    assert done.returncode == 3
    assert b"killed by signal" not in done.stderr


def test_the_runner_is_mmengines():
    assert issubclass(ReproducibleRunner, Runner)
