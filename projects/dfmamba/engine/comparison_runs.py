"""The trainings of a comparison of models: configs that differ in nothing else, each run once for every seed."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.engine.config import flatten, load_config
from dfmamba.engine.errors import ConfigError
from dfmamba.engine.hooks.deformation import FILE_NAME as DEFORMATION_FILE
from dfmamba.engine.report import data_fingerprint
from dfmamba.evaluation.comparison import joint_errors_mm
from dfmamba.evaluation.result_files import read_result_file

# What must be equal, but for what the first config names in `varied`, such as ["optim_wrapper.paramwise_cfg"].
SAME = ("train_dataloader", "test_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "test_evaluator")


@dataclass(frozen=True)
class Run:
    """One config trained with one seed."""

    config: Path
    seed: int
    folder: Path

    @property
    def predictions(self) -> Path:
        """The result file."""
        return self.folder / "predictions.json"

    @property
    def errors(self) -> Path:
        """The errors of all test samples and joints: (N, 42) in mm as float32, in the order of the ground truth.

        These, the receipt and `deformation.json` are all that a report needs, and small enough to be kept for good.
        """
        return self.folder / "errors.npz"

    @property
    def receipt(self) -> Path:
        """What was run, written when it has ended."""
        return self.folder / "run.json"


def load_configs(paths: Sequence[Path], options: Sequence[str]) -> list[Config]:
    """Return the configs.

    Raises:
        ConfigError: Two have one name, or they differ in more than the model; names the first difference.
    """
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError(f"expected configs with different file names, got {', '.join(names)}")
    configs = [load_config(path, options) for path in paths]
    first, rules = configs[0], flatten(configs[0])
    varied = tuple(first.get("varied", ()))
    for path, config in zip(paths[1:], configs[1:], strict=True):
        other = flatten(config)
        for key in sorted(rules.keys() | other.keys()):
            values = other.get(key), rules.get(key)
            is_leaf = not any(isinstance(value, dict | list) for value in values)
            if key.split(".")[0] in SAME and not key.startswith(varied) and is_leaf and values[0] != values[1]:
                raise ConfigError(
                    f"{path} differs from {first.filename} in {key}: {values[0]!r} and "
                    f"{values[1]!r}. The comparison is between models; all the rest must be the same, but for what the "
                    f"first config names in `varied`: {', '.join(varied) or 'nothing'}."
                )
    return configs


def run_digest(config: Config, seed: int, options: Sequence[str], source: Mapping[str, Any]) -> str:
    """Return digits that change with whatever decides about a run; `source` is that of its ground truth."""
    return hashlib.sha256(json.dumps([config.pretty_text, seed, list(options), source]).encode()).hexdigest()[:16]


def train_and_test(
    run: Run, digest: str, options: Sequence[str], threads: int, tools: Path, gt: Mapping[str, Any]
) -> float | None:
    """Train and test in processes of their own, and write errors and receipt.

    Args:
        run: What is run.
        digest: Of its settings, see `run_digest`.
        options: What is changed in the config, as after `--cfg-options`.
        threads: Of the CPU.
        tools: The folder with `train.py` and `test.py`.
        gt: See `read_gt`.

    Returns:
        How long the training took, in seconds; None where the receipt says that the same has been run.

    Raises:
        ConfigError: A tool failed; its log is named.
    """
    if run.receipt.exists() and json.loads(run.receipt.read_text())["fingerprint"] == digest:
        return None
    run.folder.mkdir(parents=True, exist_ok=True)
    common = ["--work-dir", str(run.folder), "--cfg-options", *options, f"randomness.seed={run.seed}"]
    start = time.monotonic()
    _call(run, threads, tools / "train.py", "--no-validate", *common)
    seconds = time.monotonic() - start
    checkpoint = (run.folder / "last_checkpoint").read_text().strip()
    _call(run, threads, tools / "test.py", checkpoint, *common, f"test_evaluator.result_file={run.predictions}")
    write_errors(run, gt)
    run.receipt.write_text(json.dumps({"fingerprint": digest, "training_s": round(seconds, 1), "threads": threads}))
    return seconds


def write_errors(run: Run, gt: Mapping[str, Any]) -> None:
    """Write the errors of a run's predictions."""
    errors = joint_errors_mm(read_result_file("interhand26m", run.predictions), gt)
    np.savez_compressed(run.errors, errors_mm=errors.astype(np.float32))


def read_errors(runs: Sequence[Run]) -> NDArray[np.floating]:
    """Return the errors of runs, (runs, N, 42) in mm."""
    return np.stack([np.load(run.errors)["errors_mm"].astype(np.float64) for run in runs])


def read_deformation(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return how far each DSSM layer of a config deforms at the end of its trainings, mean over the runs.

    Empty where `DeformationHook` has written nothing: the model has no such layer, or the config no such hook.
    """
    ends = [
        json.loads(path.read_text())[-1]["layers"] for run in runs if (path := run.folder / DEFORMATION_FILE).exists()
    ]
    if not ends:
        return {}
    return {
        layer: {key: float(np.mean([end[layer][key] for end in ends])) for key in values if key != "map_size"}
        | {"height": values["map_size"][0], "width": values["map_size"][1]}
        for layer, values in ends[0].items()
    }


def _call(run: Run, threads: int, tool: Path, *arguments: str) -> None:
    """Call a tool with the config and these arguments; its output goes into a log in the run's folder."""
    log = run.folder / f"{tool.stem}.log"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, str(tool), str(run.config), *arguments]
    with log.open("w") as file:
        code = subprocess.call(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if code:
        raise ConfigError(f"tools/{tool.name} {run.config} failed (exit code {code}); see {log}")


def read_gt(config: Config) -> dict[str, Any]:
    """Return the ground truth of the test set of a config, as `dfmamba.evaluation.comparison` takes it.

    Its `source` is what the data say of themselves, see `data_fingerprint`.
    """
    init_default_scope(config.default_scope)
    dataset = DATASETS.build({**config.test_dataloader.dataset, "pipeline": []})
    samples = [dataset.get_data_info(number) for number in range(len(dataset))]
    names = [sample["seq_name"] for sample in samples]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return {
        "ids": [sample["id"] for sample in samples],
        "joints": np.concatenate([sample["keypoints_cam"] for sample in samples]),
        "valid": np.concatenate([sample["keypoints_visible"] for sample in samples]) > 0,
        "sequence": np.array([numbers[name] for name in names]),
        "source": data_fingerprint(dataset),
    }
