"""Train several configs under one budget on SYNTHETIC interacting hands, and say which is better, if any.

    python tools/compare.py configs/comparison/*.py --seeds 0 1 2 --out work_dirs/comparison

The configs must agree in everything but the model: data, augmentation, batch, optimiser, schedule, evaluation; the tool
refuses others and names the difference. Each is trained once for every seed by tools/train.py and tested by
tools/test.py; runs that are there already with the same settings and data are not repeated: of a run's folder
`run.json`, `errors.npz` and `deformation.json` are needed for that. The report has for each config the
MPJPE (root-relative, mean over all valid joints: micro) with Student's interval over the seeds and a bootstrap interval
over seeds and test sequences; the same on thirds of the test images by the share of hidden joints; and the difference
to the first config with its interval, from which the conclusion follows: better, worse, or no difference shown. It
names what each whole model costs, and the error of the best pose that does not look at the images. Where the configs
have `DeformationHook`, it also says how far each DSSM layer deforms at the end.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import SEED, add_common_arguments, add_config_options, launch, whole_number

if TYPE_CHECKING:
    from mmengine.config import Config

    from dfmamba.engine.comparison_runs import Run

ROOT = Path(__file__).resolve().parent.parent


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


def execute_all(
    runs: Sequence[tuple["Run", "Config"]], options: Sequence[str], jobs: int, threads: int, gt: dict[str, Any]
) -> None:
    """Train and test each run with its config, a number of them at a time, and say which are done."""
    from dfmamba.engine.comparison_runs import run_digest, train_and_test

    def execute(run: "Run", config: "Config") -> None:
        digest = run_digest(config, run.seed, options, gt["source"])
        seconds = train_and_test(run, digest, options, threads, ROOT / "tools", gt)
        how = "is there" if seconds is None else f"trained in {seconds:.0f} s"
        print(f"{run.folder}: {how}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(execute, run, config) for run, config in runs]:
            done.result()


def add_deformation(table: Sequence[dict[str, Any]], runs: dict[str, list["Run"]]) -> None:
    """Add to each row how far its DSSM layers deform."""
    from dfmamba.engine.comparison_runs import read_deformation

    for row in table:
        row["deformation"] = read_deformation(runs[row["config"]])


def add_costs(table: Sequence[dict[str, Any]], runs: dict[str, list["Run"]], configs: Sequence["Config"]) -> None:
    """Add what each whole model costs to its row: parameters, multiply-adds of a crop, mean time of training."""
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.models.cost import RawEstimator, count_multiply_adds, count_parameters

    for row, config in zip(table, configs, strict=True):
        init_default_scope(config.default_scope)
        receipts = [json.loads(run.receipt.read_text()) for run in runs[row["config"]]]
        model, (width, height) = MODELS.build(config.model), config.codec.input_size
        row["parameters_m"] = count_parameters(model) / 1e6
        row["multiply_adds_g"] = count_multiply_adds(RawEstimator(model), (3, height, width)) / 1e9
        row["training_s"] = sum(receipt["training_s"] for receipt in receipts) / len(receipts)


def compare(args: argparse.Namespace) -> None:
    """Train, test, compare, write the report."""
    import torch

    from dfmamba.engine.comparison_runs import Run, load_configs, read_errors, read_gt
    from dfmamba.evaluation.comparison import summarise
    from dfmamba.evaluation.functional import require_roots
    from dfmamba.io.outputs import check_output_folder
    from dfmamba.skeleton import TWO_HANDS

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
    gt = read_gt(configs[0])
    execute_all(order, args.cfg_options, args.jobs, threads, gt)
    errors = {name: read_errors(runs[name]) for name in names}
    table = summarise(names, errors, require_roots(gt["valid"], TWO_HANDS.root_of_joint), gt)
    add_costs(table, runs, configs)
    add_deformation(table, runs)
    report(table, gt, args, threads)


def report(table: list[dict[str, Any]], gt: dict[str, Any], args: argparse.Namespace, threads: int) -> None:
    """Print the report, and write it with its figures as JSON and a picture."""
    from dfmamba.evaluation.comparison import as_markdown, constant_pose_mm
    from dfmamba.evaluation.report import write_json
    from dfmamba.visualization.interval_plot import draw_intervals

    source, constant_mm = gt["source"], constant_pose_mm(gt)
    header = (
        f"{date.today()}: comparison on {'SYNTHETIC hands, ' if source['synthetic'] else ''}{source['dataset']} "
        f"{source.get('digest', '')} ({len(gt['ids'])} test images, {gt['sequence'].max() + 1} sequences), "
        f"seeds {', '.join(map(str, args.seeds))}. MPJPE: root-relative, mean over all valid joints (micro); "
        f"the best constant pose has {constant_mm:.2f} mm. "
        f"Training seconds: {args.jobs} runs at a time, {threads} threads each."
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "comparison.md").write_text(as_markdown(table, header))
    document = {"header": header, "data": source, "constant_pose_mm": constant_mm, "results": table}
    write_json(args.out / "comparison.json", document)
    draw_intervals(args.out / "comparison.png", table, constant_mm)
    print(as_markdown(table, header))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("compare", lambda: compare(args), args)


if __name__ == "__main__":
    main()
