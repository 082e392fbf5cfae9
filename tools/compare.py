"""Train several configs under one budget on SYNTHETIC interacting hands, and say which is better, if any.

    python tools/compare.py configs/comparison/*.py --seeds 0 1 2 --out work_dirs/comparison

The configs must agree in everything but the model: data, augmentation, batch, optimiser, schedule, evaluation; the tool
refuses others and names the difference. Each is trained once for every seed by tools/train.py and tested by
tools/test.py; runs that are there already with the same settings are not repeated. The report has for each config the
MPJPE (root-relative, mean over all valid joints: micro) with Student's interval over the seeds and a bootstrap interval
over seeds and test sequences; the same on thirds of the test images by the share of hidden joints; and the difference
to the first config with its interval, from which the conclusion follows: better, worse, or no difference shown.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from command_line import SEED, add_common_arguments, add_config_options, launch, whole_number

ROOT = Path(__file__).resolve().parent.parent
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
    def receipt(self) -> Path:
        """What was run, written when it has ended."""
        return self.folder / "run.json"


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="the configs; differences are to the first one")
    parser.add_argument(
        "--seeds", nargs="+", type=SEED, default=[0, 1, 2], help="seeds of the training (default: 0 1 2)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("work_dirs/comparison"),
        help="folder for runs and report (default: work_dirs/comparison)",
    )
    parser.add_argument(
        "--jobs", type=whole_number(1), default=1, help="runs at a time; they share the cores (default: 1)"
    )
    add_config_options(parser, "train_cfg.max_epochs=20, in all of them")
    add_common_arguments(parser)
    return parser.parse_args()


def load_configs(paths: Sequence[Path], options: Sequence[str]) -> list:
    """Return the configs.

    Raises:
        ConfigError: Two have one name, or they differ in more than the model; names the first difference.
    """
    from dfmamba.engine.config import flatten, load_config
    from dfmamba.engine.errors import ConfigError

    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError(f"expected configs with different file names, got {', '.join(names)}")
    configs = [load_config(path, options) for path in paths]
    first, rules = configs[0], flatten(configs[0])
    for path, config in zip(paths[1:], configs[1:], strict=True):
        other = flatten(config)
        for key in sorted(rules.keys() | other.keys()):
            values = other.get(key), rules.get(key)
            is_leaf = not any(isinstance(value, dict | list) for value in values)
            if key.split(".")[0] in SAME and is_leaf and values[0] != values[1]:
                raise ConfigError(
                    f"{path} differs from {first.filename} in {key}: {values[0]!r} and "
                    f"{values[1]!r}. The comparison is between models; all the rest must be the same."
                )
    return configs


def fingerprint(config, seed: int, options: Sequence[str]) -> str:
    """Return digits that change with whatever decides about a run."""
    return hashlib.sha256(json.dumps([config.pretty_text, seed, list(options)]).encode()).hexdigest()[:16]


def execute(run: Run, print_of_run: str, options: Sequence[str], threads: int) -> None:
    """Train and test, unless that has been done.

    Raises:
        ConfigError: A tool failed; its log is named.
    """
    if run.receipt.exists() and json.loads(run.receipt.read_text())["fingerprint"] == print_of_run:
        print(f"{run.folder}: is there", flush=True)
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    settings = [*options, f"randomness.seed={run.seed}"]
    start = time.monotonic()
    _call(
        run,
        threads,
        "train.py",
        str(run.config),
        "--no-validate",
        "--work-dir",
        str(run.folder),
        "--cfg-options",
        *settings,
    )
    seconds = time.monotonic() - start
    checkpoint = (run.folder / "last_checkpoint").read_text().strip()
    _call(
        run,
        threads,
        "test.py",
        str(run.config),
        checkpoint,
        "--work-dir",
        str(run.folder),
        "--cfg-options",
        *settings,
        f"test_evaluator.result_file={run.predictions}",
    )
    run.receipt.write_text(
        json.dumps({"fingerprint": print_of_run, "training_s": round(seconds, 1), "threads": threads})
    )
    print(f"{run.folder}: trained in {seconds:.0f} s", flush=True)


def _call(run: Run, threads: int, tool: str, *arguments: str) -> None:
    from dfmamba.engine.errors import ConfigError

    log = run.folder / f"{Path(tool).stem}.log"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    with log.open("w") as file:
        code = subprocess.call(
            [sys.executable, str(ROOT / "tools" / tool), *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    if code:
        raise ConfigError(f"tools/{tool} {run.config} failed (exit code {code}); see {log}")


def read_gt(config) -> dict:
    """Return joints (N, 42, 3) in mm, which are valid (N, 42), sequence numbers (N,), ids, and the data's own words."""
    import numpy as np
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS

    from dfmamba.engine.report import data_fingerprint

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


def errors_of(runs: Sequence[Run], gt: dict) -> tuple:
    """Return root-relative errors (seeds, N, 42) in mm of one config, and which of them count (N, 42)."""
    import numpy as np

    from dfmamba.evaluation import joint_errors, root_align
    from dfmamba.evaluation.result_files import read_result_file
    from dfmamba.skeleton import TWO_HANDS

    aligned_gt = root_align(gt["joints"], TWO_HANDS.root_of_joint)
    valid = gt["valid"] & gt["valid"][:, list(TWO_HANDS.root_of_joint)]
    errors = []
    for run in runs:
        table = read_result_file("interhand26m", run.predictions)
        row = {sample: number for number, sample in enumerate(table.ids)}
        pred = table.joints_mm[[row[sample] for sample in gt["ids"]]]
        errors.append(joint_errors(root_align(pred, TWO_HANDS.root_of_joint), aligned_gt))
    return np.array(errors), valid


def compare(args: argparse.Namespace) -> None:
    """Train, test, compare, write the report."""
    import torch
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.evaluation.comparison import as_markdown, summarise
    from dfmamba.evaluation.report import write_json
    from dfmamba.io.outputs import check_output_folder
    from dfmamba.models.cost import count_parameters
    from dfmamba.visualization.interval_plot import draw_intervals

    check_output_folder("--out", args.out)
    configs = load_configs(args.configs, args.cfg_options)
    names = [path.stem for path in args.configs]
    runs = {
        name: [Run(path, seed, args.out / name / f"seed{seed}") for seed in args.seeds]
        for name, path in zip(names, args.configs, strict=True)
    }
    # All configs of a seed before the next seed: an aborted comparison is still fair
    order = [
        (runs[name][number], config)
        for number in range(len(args.seeds))
        for name, config in zip(names, configs, strict=True)
    ]
    threads = max(1, torch.get_num_threads() // args.jobs)
    with ThreadPoolExecutor(args.jobs) as pool:
        running = [
            pool.submit(execute, run, fingerprint(config, run.seed, args.cfg_options), args.cfg_options, threads)
            for run, config in order
        ]
        for done in running:
            done.result()

    gt = read_gt(configs[0])
    results = {name: errors_of(runs[name], gt) for name in names}
    valid = results[names[0]][1]
    table = summarise(names, {name: errors for name, (errors, _) in results.items()}, valid, gt)
    for row, config in zip(table, configs, strict=True):
        init_default_scope(config.default_scope)
        receipts = [json.loads(run.receipt.read_text()) for run in runs[row["config"]]]
        row["parameters_m"] = count_parameters(MODELS.build(config.model)) / 1e6
        row["training_s"] = sum(receipt["training_s"] for receipt in receipts) / len(receipts)
    source = gt["source"]
    header = (
        f"{date.today()}: comparison on {'SYNTHETIC hands, ' if source['synthetic'] else ''}{source['dataset']} "
        f"{source.get('digest', '')} ({len(gt['ids'])} test images, {gt['sequence'].max() + 1} sequences), "
        f"seeds {', '.join(map(str, args.seeds))}. MPJPE: root-relative, mean over all valid joints (micro). "
        f"Training seconds: {args.jobs} runs at a time, {threads} threads each."
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "comparison.md").write_text(as_markdown(table, header))
    write_json(args.out / "comparison.json", {"header": header, "data": source, "results": table})
    draw_intervals(args.out / "comparison.png", table)
    print(as_markdown(table, header))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("compare", lambda: compare(args), args)


if __name__ == "__main__":
    main()
