"""Train a model: `.venv/bin/python tools/train.py CONFIG`."""

import argparse
import os

from dfmamba.cli.command_line import add_common_arguments, add_config_options, launch_on_every_rank


def parse_args() -> argparse.Namespace:
    """Read the command line; the flags are mmpose's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, such as configs/dfmamba_interhand.py")
    parser.add_argument(
        "--work-dir",
        help="folder for logs, checkpoints and pictures (default: the config's, else work_dirs/<name of the config>)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from a checkpoint; without a path from the last one in the work folder (default: begin a new one)",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="float16",
        choices=("float16", "bfloat16"),
        help="train in mixed precision, needs a GPU; bfloat16 does not scale the loss (default: off; alone: float16)",
    )
    parser.add_argument("--no-validate", action="store_true", help="do not validate while training (default: validate)")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by the batch size over "
        "all processes / auto_scale_lr.base_batch_size of the config (default: off)",
    )
    add_config_options(parser, "optim_wrapper.optimizer.lr=1e-4 or train_dataloader.dataset.pipeline.2.prob=0")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how the processes of a distributed training were started (default: none)",
    )
    # torch.distributed.launch passes it on; torchrun sets the environment variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    add_common_arguments(parser)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def apply_options(config, args: argparse.Namespace) -> None:
    """Write the flags into the config."""
    import torch

    from dfmamba.engine.checkpoint_file import require_checkpoint
    from dfmamba.engine.errors import ConfigError

    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == "auto" else str(require_checkpoint(args.resume))
    if args.amp:
        kind = config.optim_wrapper.get("type", "OptimWrapper")
        if kind not in ("OptimWrapper", "AmpOptimWrapper"):
            raise ConfigError(f"--amp: expected optim_wrapper.type OptimWrapper, the config has {kind}")
        if not torch.cuda.is_available():
            raise ConfigError("--amp: mixed precision needs a GPU, torch sees none (torch.cuda.is_available())")
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.dtype = args.amp
        # bfloat16 has the range of float32: its gradients do not vanish, so nothing has to be scaled.
        config.optim_wrapper.setdefault("loss_scale", "dynamic" if args.amp == "float16" else {"enabled": False})
    if args.no_validate:
        config.val_cfg = config.val_dataloader = config.val_evaluator = None
        config.merge_from_dict({"default_hooks.checkpoint.save_best": None})
    if args.auto_scale_lr:
        if "base_batch_size" not in (config.get("auto_scale_lr") or {}):
            raise ConfigError(f"--auto-scale-lr: {config.filename} lacks auto_scale_lr = dict(base_batch_size=...)")
        config.auto_scale_lr.enable = True


def train(args: argparse.Namespace) -> None:
    """Load the config, train, and say where the results are."""
    from dfmamba.engine.checkpoint_folder import describe_checkpoints
    from dfmamba.engine.cli import apply_common_options, build_runner, require_keys
    from dfmamba.engine.config import load_config

    config = load_config(args.config, args.cfg_options)
    require_keys(config, "model", "train_dataloader", "train_cfg", "optim_wrapper")
    apply_common_options(config, args)
    apply_options(config, args)
    runner = build_runner(config, "train_loop")
    runner.train()
    runner.logger.info(f"training done, see {runner.work_dir}\n{describe_checkpoints(runner.work_dir)}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch_on_every_rank("train", lambda: train(args), args)


if __name__ == "__main__":
    main()
