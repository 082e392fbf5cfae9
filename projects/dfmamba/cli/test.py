"""Test a trained model: `.venv/bin/python tools/test.py CONFIG CHECKPOINT`."""

import argparse
import os
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, add_config_options, launch_on_every_rank, whole_number


def parse_args() -> argparse.Namespace:
    """Read the command line; the flags are mmpose's, but for --num-overlays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, such as configs/dfmamba_interhand.py")
    parser.add_argument("checkpoint", help="checkpoint file (.pth) of that config")
    parser.add_argument(
        "--work-dir", help="folder for logs and pictures (default: the config's, else work_dirs/<name of the config>)"
    )
    parser.add_argument(
        "--out",
        metavar="RESULT.json",
        help="where to write metrics, data fingerprint and versions (default: result.json in the work folder)",
    )
    parser.add_argument(
        "--num-overlays",
        type=whole_number(0),
        default=16,
        metavar="N",
        help="samples on the contact sheet, spread evenly over the test set; 0 for no sheet (default: 16)",
    )
    add_config_options(parser, "test_dataloader.batch_size=8")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how the processes of a distributed test were started (default: none)",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out is not None and not args.out.endswith(".json"):
        parser.error(f"--out: expected a name that ends in .json, got {args.out}")
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def test(args: argparse.Namespace) -> None:
    """Load config and checkpoint, test, print the table, write JSON and contact sheet."""
    from mmengine.dist import is_main_process

    from dfmamba.engine.checkpoint_file import require_checkpoint
    from dfmamba.engine.cli import apply_common_options, build_runner, require_keys
    from dfmamba.engine.config import load_config
    from dfmamba.engine.hooks import SkippedSamplesHook
    from dfmamba.engine.report import is_synthetic, write_result
    from dfmamba.evaluation.report import format_metrics
    from dfmamba.io.outputs import check_output_file

    if args.out is not None:
        check_output_file("--out", args.out)
    config = load_config(args.config, args.cfg_options)
    require_keys(config, "model", "test_dataloader", "test_cfg", "test_evaluator")
    checkpoint = require_checkpoint(args.checkpoint)
    apply_common_options(config, args)
    config.load_from, config.resume = str(checkpoint), False
    if args.num_overlays > 0:
        title = f"{args.config}, {checkpoint.name}"
        sheet = {"type": "ContactSheetHook", "num_samples": args.num_overlays, "title": title}
        config.custom_hooks = [*(config.get("custom_hooks") or []), sheet]
    runner = build_runner(config, "test_loop")
    metrics = runner.test()
    if is_main_process():
        out = Path(args.out or Path(runner.work_dir) / "result.json")
        dataset = runner.test_dataloader.dataset
        trained_on = next((hook.of_checkpoint for hook in runner.hooks if isinstance(hook, SkippedSamplesHook)), [])
        write_result(out, metrics, args.config, str(checkpoint), dataset, args.cfg_options, trained_on)
        warning = "SYNTHETIC data: not comparable with published results\n" if is_synthetic(dataset) else ""
        print(f"\n{warning}{format_metrics(metrics)}\n\nwritten: {out}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch_on_every_rank("test", lambda: test(args), args)


if __name__ == "__main__":
    main()
