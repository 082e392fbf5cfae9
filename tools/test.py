"""Test a trained model: `.venv/bin/python tools/test.py CONFIG CHECKPOINT`."""

import argparse
import os
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line; the flags are mmpose's, but for --num-overlays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, such as configs/dfmamba_interhand.py")
    parser.add_argument("checkpoint", help="checkpoint file (.pth) of that config")
    parser.add_argument("--work-dir", help="folder for logs and pictures (default: the config's, else "
                        "work_dirs/<name of the config>)")
    parser.add_argument("--out", metavar="RESULT.json", help="where to write metrics, data fingerprint and versions "
                        "(default: result.json in the work folder)")
    parser.add_argument("--num-overlays", type=int, default=16, metavar="N", help="samples on the contact sheet, "
                        "spread evenly over the test set; 0 for no sheet (default: 16)")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="change settings of the config, such as test_dataloader.batch_size=8; an unknown key is "
                        "an error; +KEY=VALUE adds one")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none",
                        help="how the processes of a distributed test were started (default: none)")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
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
    """Run the tool. Imports come late: --help is quick, and a missing environment gets one clear line."""
    args = parse_args()
    try:
        from dfmamba.engine.cli import run_tool
    except ImportError as error:
        sys.exit(f"tools/test.py: {error}. Run `make setup` once, then start with .venv/bin/python tools/test.py")
    run_tool("tools/test.py", lambda: test(args))


if __name__ == "__main__":
    main()
