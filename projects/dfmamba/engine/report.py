"""The result of a test: a JSON file that says what was measured on what."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dfmamba.datasets.base import HandDataset
from dfmamba.engine.inner_datasets import inner_datasets
from dfmamba.evaluation.report import is_synthetic as is_synthetic_path
from dfmamba.io.atomic import write_atomically
from dfmamba.io.digests import file_digest

PACKAGES = (
    "dfmamba",
    "torch",
    "torchvision",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "mmpose",
    "numpy",
    "opencv-python-headless",
)


def installed_versions() -> dict[str, str]:
    """Return the version of Python and of every package that results depend on; `missing` where there is none."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return versions


def is_synthetic(dataset: Any) -> bool:
    """Say whether a data set, or one of those that it joins or repeats, was made by `tools/make_dataset.py`.

    See `dfmamba.evaluation.report.is_synthetic`, which is asked about its `data_root`, `ann_file` and `data_prefix`.
    """
    paths: list[Any] = []
    for part in inner_datasets(dataset):
        prefixes = getattr(part, "data_prefix", None)
        paths += [
            getattr(part, "data_root", None),
            getattr(part, "ann_file", None),
            *(prefixes.values() if isinstance(prefixes, dict) else []),
        ]
    return any(is_synthetic_path(path) for path in paths if path and isinstance(path, str | Path))


def data_fingerprint(dataset: Any) -> dict[str, Any]:
    """Say which data a result belongs to: number of samples, annotation file, its digest.

    The data sets of this package describe themselves (`metainfo['data_source']`) and say what was left out: `skipped`
    records when the annotations were read, `skipped_samples` while loading. Of others we see the file. What joins or
    repeats data sets has `parts`.
    """
    fingerprint: dict[str, Any] = {
        "dataset": type(dataset).__name__,
        "num_samples": len(dataset),
        "synthetic": is_synthetic(dataset),
    }
    parts = inner_datasets(dataset)
    if parts[0] is not dataset:
        return fingerprint | {"parts": [data_fingerprint(part) for part in parts]}
    source = dict(getattr(dataset, "metainfo", {}).get("data_source", {}))
    if isinstance(dataset, HandDataset):
        source |= {
            "num_records": dataset.num_records,
            "skipped": dataset.skipped,
            "skipped_samples": dataset.count_skipped_samples(),
        }
    ann_file = getattr(dataset, "ann_file", "")
    if not source and ann_file and Path(ann_file).is_file():
        source = {"ann_file": str(ann_file), "sha256": file_digest(ann_file)}
    return fingerprint | source


def write_result(
    path: Path,
    metrics: Mapping[str, Any],
    config: str,
    checkpoint: str,
    dataset: Any,
    cfg_options: list[str],
    trained_on: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the metrics and all that is needed to know what they mean as JSON.

    Args:
        path: The file; missing folders are made.
        metrics: Protocol name, with its unit, -> value.
        config: Path of the config file.
        checkpoint: Path of the checkpoint.
        dataset: The test set.
        cfg_options: The `--cfg-options` of the call.
        trained_on: What `SkippedSamplesHook` found in the checkpoint: number of samples, and what was skipped of them.
    """
    result = {
        "metrics": {name: _to_json(value) for name, value in metrics.items()},
        "config": config,
        "cfg_options": cfg_options,
        "checkpoint": {"path": checkpoint, "sha256": file_digest(checkpoint)},
        "data": data_fingerprint(dataset),
        "trained_on": [{key: part[key] for key in ("fingerprint", "num_samples", "skipped")} for part in trained_on],
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}",
        "versions": installed_versions(),
    }
    write_atomically(path, json.dumps(result, indent=2, default=_to_json) + "\n")


def _to_json(value: Any) -> Any:
    """Turn arrays and NumPy's numbers into what JSON knows, NaN and infinity into null, anything else into text."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | list) else str(value)
