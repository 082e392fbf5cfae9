"""The reading of InterHand2.6M beside mmpose's `InterHand3DDataset`: opening, memory, samples a second, travel."""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpose.datasets import InterHand3DDataset
from torch.utils.data import DataLoader, Dataset

import dfmamba.codecs
import dfmamba.datasets.transforms  # noqa: F401, both register what our pipeline names
from dfmamba.benchmark.processes import clear_peak, resident_kib
from dfmamba.datasets import InterHand26MDataset
from dfmamba.datasets.base import HandDataset
from dfmamba.engine.collate import one_piece_collate

Row = dict[str, str | int | float]


def open_data(
    reader: str, folder: Path, cache: Path, pipeline: Sequence[dict[str, Any]] = ()
) -> HandDataset | InterHand3DDataset:
    """Open the training split with our reader or mmpose's.

    Args:
        reader: 'dfmamba' or 'mmpose'.
        folder: Of the data set.
        cache: Folder for the annotation index, which our reader keeps.
        pipeline: What is done with each sample.
    """
    if reader == "dfmamba":
        return InterHand26MDataset("train", str(folder), cache_dir=str(cache), pipeline=pipeline)
    files = {
        key: f"annotations/train/InterHand2.6M_train_{name}.json"
        for key, name in (("ann_file", "data"), ("camera_param_file", "camera"), ("joint_file", "joint_3d"))
    }
    return InterHand3DDataset(**files, data_root=str(folder), data_prefix={"img": "images/train"}, pipeline=pipeline)


def megabytes(process: psutil.Process | None = None) -> dict[str, float]:
    """Return memory of a process: private (USS), and with its share of what is shared (PSS)."""
    info = (process or psutil.Process()).memory_full_info()
    return {"uss_mb": info.uss / 1e6, "pss_mb": info.pss / 1e6}


def measure_opening(reader: str, folder: Path, cache: Path, reads: int) -> Row:
    """Open the records, then read some in random order; memory is what is added to that of the imports.

    To be called in a new process.
    """
    before = megabytes()["uss_mb"]
    clear_peak()
    resident, start, start_cpu = resident_kib("VmHWM"), time.perf_counter(), time.process_time()
    dataset = open_data(reader, folder, cache)
    row: Row = {
        "reader": reader,
        "records": len(dataset),
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_cpu,
        "mb": megabytes()["uss_mb"] - before,
        "peak_mb": (resident_kib("VmHWM") - resident) * 1024 / 1e6,
    }
    numbers = np.random.default_rng(0).integers(len(dataset), size=reads).tolist()
    start = time.perf_counter()
    for number in numbers:
        dataset.get_data_info(number)
    return row | {"samples_per_s": reads / (time.perf_counter() - start), "mb_read": megabytes()["uss_mb"] - before}


class Records(Dataset[int]):
    """Reads records and returns nothing of them."""

    def __init__(self, dataset: HandDataset | InterHand3DDataset | None, length: int) -> None:
        self.dataset, self.length = dataset, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> int:
        if self.dataset is not None:
            self.dataset.get_data_info(number)
        return 0


def measure_workers(reader: str, folder: Path, cache: Path, workers: int, reads: int, length: int) -> Row:
    """Read with forked workers; memory is that of all processes while they wait. To be called in a new process.

    Args:
        reader: 'dfmamba', 'mmpose' or 'no data', which shows what the workers alone take.
        folder: Of the data set.
        cache: Folder for the annotation index.
        workers: How many.
        reads: Random reads.
        length: Number of records, for 'no data'.
    """
    others = psutil.Process().children()
    dataset = None if reader == "no data" else open_data(reader, folder, cache)
    length = length if dataset is None else len(dataset)
    numbers = np.random.default_rng(0).integers(length, size=reads).tolist()
    loader = DataLoader(
        Records(dataset, length),
        batch_size=64,
        sampler=numbers,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    for _ in loader:
        pass
    start = time.perf_counter()
    for _ in loader:
        pass
    seconds = time.perf_counter() - start
    parent = megabytes()
    children = [megabytes(process) for process in psutil.Process().children() if process not in others]
    return {
        "reader": reader,
        "records": length,
        "workers": len(children),
        "samples_per_s": reads / seconds,
        "worker_uss_mb": statistics.mean(child["uss_mb"] for child in children),
        "all_pss_mb": parent["pss_mb"] + sum(child["pss_mb"] for child in children),
    }


def measure_pipelines(configs: Mapping[str, Path], folder: Path, cache: Path, rounds: int) -> list[Row]:
    """Load and augment all images with each pipeline in turn, on one core; return the median samples a second.

    To be called in a new process: it keeps to one core from then on.

    Args:
        configs: For each reader, the config with its `train_pipeline`.
        folder: Of the data set.
        cache: Folder for the annotation index.
        rounds: How often; another one before warms up.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    datasets = {}
    with DefaultScope.overwrite_default_scope("mmpose"):
        for reader, path in configs.items():
            steps = Config.fromfile(path).train_pipeline
            datasets[f"{reader}, with its targets"] = open_data(reader, folder, cache, steps)
            steps = [step for step in steps if step.type != "GenerateTarget"]
            datasets[f"{reader}, images only"] = open_data(reader, folder, cache, steps)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in datasets}
    for _ in range(rounds + 1):  # the first one warms up
        for name, dataset in datasets.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            for number in range(len(dataset)):
                dataset[number]
            rates[name].append(
                (len(dataset) / (time.perf_counter() - start), len(dataset) / (time.process_time() - start_cpu))
            )
    return [
        {
            "pipeline": name,
            "samples_per_s": statistics.median(wall for wall, _ in values[1:]),
            "samples_per_cpu_s": statistics.median(cpu for _, cpu in values[1:]),
        }
        for name, values in rates.items()
    ]


class Kept(Dataset[Any]):
    """Samples that were read before: getting them costs nothing."""

    def __init__(self, samples: Sequence[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        return self.samples[number]


def measure_travel(config: Path, folder: Path, cache: Path, rounds: int, batch_size: int = 32) -> list[Row]:
    """Send batches from one worker to this process with mmengine's way of collating and ours, in turn; return medians.

    To be called in a new process.

    Args:
        config: With a `train_pipeline` for our reader.
        folder: Of the data set.
        cache: Folder for the annotation index.
        rounds: How often; another one before warms up. A round has 20 batches.
        batch_size: Samples of a batch.
    """
    torch.set_num_threads(1)
    with DefaultScope.overwrite_default_scope("mmpose"):
        dataset = open_data("dfmamba", folder, cache, Config.fromfile(config).train_pipeline)
        samples = [dataset[number % len(dataset)] for number in range(batch_size)]
    batches = 20
    measured: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds + 1):  # the first one warms up
        for collate in (pseudo_collate, one_piece_collate):
            loader = DataLoader(
                Kept(samples * batches), batch_size, num_workers=1, collate_fn=collate, multiprocessing_context="fork"
            )
            arriving = iter(loader)
            next(arriving)
            start, start_cpu = time.perf_counter(), time.process_time()
            count = sum(1 for _ in arriving)
            times = (time.perf_counter() - start) / count, (time.process_time() - start_cpu) / count
            measured.setdefault(collate.__name__, []).append(times)
    return [
        {
            "collate": name,
            "ms_per_batch": 1e3 * statistics.median(wall for wall, _ in values[1:]),
            "receiving_cpu_ms_per_batch": 1e3 * statistics.median(cpu for _, cpu in values[1:]),
        }
        for name, values in measured.items()
    ]
