"""The result of a test: a JSON file that says what was measured on what."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dfmamba.evaluation.report import SYNTHETIC_NOTE

PACKAGES = ("dfmamba", "torch", "torchvision", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "mmpose", "numpy",
            "opencv-python-headless")


def installed_versions() -> dict[str, str]:
    """Return the version of Python and of every package that results depend on; `missing` where there is none."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return versions


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        FileNotFoundError: There is no such file.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_synthetic(dataset: Any) -> bool:
    """Say whether a data set was made by `tools/make_dataset.py`, which leaves a note in its folder."""
    return (Path(getattr(dataset, "data_root", "") or ".") / SYNTHETIC_NOTE).is_file()


def data_fingerprint(dataset: Any) -> dict[str, Any]:
    """Say which data a result belongs to: number of samples, annotation file, its digest.

    The data sets of this package describe themselves (`metainfo['data_source']`); of others we see the file.
    """
    source = dict(getattr(dataset, "metainfo", {}).get("data_source", {}))
    fingerprint: dict[str, Any] = {"dataset": type(dataset).__name__, "num_samples": len(dataset),
                                   "synthetic": is_synthetic(dataset), **source}
    ann_file = getattr(dataset, "ann_file", "")
    if not source and ann_file and Path(ann_file).is_file():
        fingerprint |= {"ann_file": str(ann_file), "sha256": file_digest(ann_file)}
    return fingerprint


def write_result(path: Path, metrics: Mapping[str, Any], config: str, checkpoint: str, dataset: Any,
                 cfg_options: list[str]) -> None:
    """Write the metrics and all that is needed to know what they mean as JSON.

    Args:
        path: The file; missing folders are made.
        metrics: Protocol name, with its unit, -> value.
        config: Path of the config file.
        checkpoint: Path of the checkpoint.
        dataset: The test set.
        cfg_options: The `--cfg-options` of the call.
    """
    result = {
        "metrics": {name: _to_json(value) for name, value in metrics.items()},
        "config": config,
        "cfg_options": cfg_options,
        "checkpoint": {"path": checkpoint, "sha256": file_digest(checkpoint)},
        "data": data_fingerprint(dataset),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}",
        "versions": installed_versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, default=_to_json) + "\n", encoding="utf-8")


def _to_json(value: Any) -> Any:
    """Turn arrays and NumPy's numbers into what JSON knows, NaN and infinity into null, anything else into text."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | list) else str(value)
