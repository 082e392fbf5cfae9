"""Random numbers that depend on where a training is, not on how it came there.

Every sample is augmented with random numbers made of the seed, the rank, the epoch and its place in the epoch; every
training step draws from the seed, the rank and its number. So a run that was killed and goes on draws what it would
have drawn, however often it was started and however many workers load its data.
"""

import atexit
import functools
import hashlib
import itertools
import multiprocessing
import random
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS
from torch.utils.data import Dataset, Sampler

from dfmamba.engine.errors import ConfigError


def seed_random_numbers(*place: int | str) -> None:
    """Set the generators of Python, NumPy and torch, on all devices, from a place in a training."""
    digest = hashlib.blake2b(repr(place).encode(), digest_size=32).digest()
    random.seed(digest)
    np.random.seed(np.frombuffer(digest, dtype=np.uint32))  # noqa: NPY002, the transforms of mmcv draw from it
    seed = int.from_bytes(digest[:8], "little")
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` formats the call stack where CUDA is not in use
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


class SampleIndex(int):
    """The number of a sample, and the place in the training that its random numbers come from."""

    place: tuple[int, ...]

    def __new__(cls, index: int, place: tuple[int, ...]) -> "SampleIndex":
        """Make the number."""
        number = super().__new__(cls, index)
        number.place = place
        return number

    def __reduce__(self) -> tuple:  # on its way to a worker
        return SampleIndex, (int(self), self.place)


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Another sampler, whose numbers know their place, and which can begin in the middle of an epoch.

    Args:
        dataset: The data set.
        sampler: Config of the sampler.
        sample_seed: The training's seed.
        seed: The sampler's own seed; None where each rank draws its own.
    """

    def __init__(self, dataset: Dataset, sampler: dict, sample_seed: int, seed: int | None = None) -> None:
        self.sampler = DATA_SAMPLERS.build(sampler, default_args={"dataset": dataset, "seed": seed})
        self.sample_seed = sample_seed
        self.first = 0

    @property
    def is_endless(self) -> bool:
        """Whether the sampler never ends; mmengine's such samplers can skip."""
        return hasattr(self.sampler, "skip")

    def skip(self, num_samples: int) -> None:
        """Begin the next pass after a number of samples."""
        self.first = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Tell the sampler the epoch."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        epoch, first, self.first = getattr(self.sampler, "epoch", 0), self.first, 0
        for position, index in enumerate(itertools.islice(self.sampler, first, None), first):
            yield SampleIndex(index, (self.sample_seed, get_rank(), epoch, position))

    def __len__(self) -> int:
        return len(self.sampler)


class SeededDataset(Dataset):
    """A data set that sets the random numbers of each sample; all else is the data set's own.

    Attributes:
        dataset: That data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, SampleIndex):
            seed_random_numbers("sample", *index.place)
        return self.dataset[int(index)]

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name == "dataset" or name.startswith("__"):  # not yet there while a copy is made
            raise AttributeError(name)
        return getattr(self.dataset, name)


def seeded_loader(dataloader: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the config of a data loader with its data set and its sampler made reproducible.

    Raises:
        ConfigError: Its sampler or its data set is no config.
    """
    config = dict(dataloader)
    if not isinstance(config.get("sampler"), Mapping) or not isinstance(config.get("dataset"), Mapping):
        raise ConfigError(
            "train_dataloader: expected configs (dicts) for 'sampler' and 'dataset', got "
            f"{type(config.get('sampler')).__name__} and {type(config.get('dataset')).__name__}"
        )
    dataset = DATASETS.build(config["dataset"])
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    config["dataset"] = SeededDataset(dataset)
    config["sampler"] = {"type": "SeededSampler", "sampler": dict(config["sampler"]), "sample_seed": seed}
    return config


@FUNCTIONS.register_module()
def start_worker(
    worker_id: int, num_workers: int, rank: int, seed: int, disable_subprocess_warning: bool = False
) -> None:
    """Begin a loader's worker: as mmengine does, but deaf to the signals that ask the training to save and stop.

    A terminal and a scheduler send them to all processes; a worker that ends at once would tear the training down
    before it has saved. Workers end with their training, see `end_workers_at_exit`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    worker_init_fn(worker_id, num_workers, rank, seed, disable_subprocess_warning)


@functools.cache
def end_workers_at_exit() -> None:
    """Make this process end its workers when it ends: Python would send them SIGTERM, which they ignore, and wait."""
    atexit.register(_kill_children)


def _kill_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error where a worker is killed
    for child in multiprocessing.active_children():
        if child.daemon:  # as Python does, which ends only these
            child.kill()
