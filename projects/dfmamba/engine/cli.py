"""What `tools/train.py` and `tools/test.py` share.

Errors that are the user's to mend come as one message, without a traceback. `DFMAMBA_TRACEBACK=1` shows it all
the same.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from dfmamba.engine.errors import ConfigError, UserError
from dfmamba.engine.interruption import TrainingStopped

EXIT_USER_ERROR = 2


def run_tool(name: str, work: Callable[[], None]) -> None:
    """Call `work`; on the user's mistake write `name: message` to stderr and leave with exit code 2."""
    try:
        work()
    except (UserError, FileNotFoundError) as error:
        if os.environ.get("DFMAMBA_TRACEBACK"):
            raise
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except TrainingStopped as stop:
        sys.stderr.write(f"{name}: {stop}\n")
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        sys.exit(130)


def apply_common_options(config: Config, args: argparse.Namespace) -> None:
    """Set work folder and launcher from `args.work_dir`, `args.launcher` and `args.config`.

    The work folder is, in this order: the option, the config's own, `work_dirs/<name of the config>`.

    Raises:
        ConfigError: A launcher is wanted on a machine without a GPU.
    """
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get("work_dir") is None:
        config.work_dir = str(Path("work_dirs") / Path(args.config).stem)
    config.launcher = args.launcher
    if args.launcher != "none" and not torch.cuda.is_available():
        raise ConfigError(f"--launcher {args.launcher}: mmengine's launchers need GPUs, torch sees none "
                          "(torch.cuda.is_available()). Use --launcher none.")


def require_keys(config: Config, *keys: str) -> None:
    """Check that a config is a whole one.

    Raises:
        ConfigError: A key is missing or None.
    """
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ConfigError(f"{config.filename}: lacks {', '.join(missing)}. Is it one of the pieces in configs/_base_, "
                          "which other configs inherit?")


def build_runner(config: Config, loop: str) -> Runner:
    """Build a Runner with its data; `loop` is `train_loop` or `test_loop`.

    Raises:
        ConfigError: A class refuses its arguments.
        FileNotFoundError: Data is missing.
    """
    try:
        runner = RUNNERS.get(config.get("runner_type") or "ReproducibleRunner").from_cfg(config)
        getattr(runner, loop)  # builds the data sets
        if loop == "train_loop" and config.get("val_dataloader") is not None:
            _ = runner.val_loop  # rather now than after the first epoch
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise ConfigError(f"{config.filename}: {type(error).__name__}: {error} "
                          "(DFMAMBA_TRACEBACK=1 shows where)") from error
    return runner
