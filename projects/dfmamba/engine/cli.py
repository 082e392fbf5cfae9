"""What `tools/train.py` and `tools/test.py` share: common options, whole configs, the runner."""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from dfmamba.engine.distributed import join_processes
from dfmamba.engine.errors import ConfigError, UserError
from dfmamba.io.outputs import check_output_folder


def apply_common_options(config: Config, args: argparse.Namespace) -> None:
    """Set work folder and launcher from `args.work_dir`, `args.launcher` and `args.config`.

    The work folder is, in this order: the option, the config's own, `work_dirs/<name of the config>`.

    Raises:
        UserError: The work folder cannot be written.
    """
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get("work_dir") is None:
        config.work_dir = str(Path("work_dirs") / Path(args.config).stem)
    check_output_folder("--work-dir" if args.work_dir is not None else "work_dir", config.work_dir)
    config.launcher = args.launcher


def require_keys(config: Config, *keys: str) -> None:
    """Check that a config is a whole one.

    Raises:
        ConfigError: A key is missing or None.
    """
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ConfigError(
            f"{config.filename}: lacks {', '.join(missing)}. Is it one of the pieces in configs/_base_, "
            "which other configs inherit?"
        )


def build_runner(config: Config, loop: str) -> Runner:
    """Build a Runner with its data, as one of several processes if there are; `loop` is `train_loop` or `test_loop`.

    Raises:
        ConfigError: A class refuses its arguments; or see `join_processes`.
        FileNotFoundError: Data is missing.
    """
    name = config.get("runner_type") or "ReproducibleRunner"
    runner_class = RUNNERS.get(name)
    if runner_class is None:
        raise ConfigError(f"{config.filename}: runner_type: nothing is registered as {name!r} in mmengine's RUNNERS")
    join_processes(config)
    try:
        runner = runner_class.from_cfg(config)
        getattr(runner, loop)  # builds the data sets
        if loop == "train_loop" and config.get("val_dataloader") is not None:
            _ = runner.val_loop  # rather now than after the first epoch
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise ConfigError(f"{config.filename}: {type(error).__name__}: {error} (--debug shows where)") from error
    return runner
