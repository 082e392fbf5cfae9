"""The toy training in forked children, as `tools/train.py` runs it."""

import functools
import runpy
import sys
from pathlib import Path

from dfmamba.engine.faults import Fault, run_in_child

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "engine" / "toy_config.py"
OPTIONS = (
    "train_cfg.max_epochs=3",
    "train_dataloader.dataset.noise=0.5",
    "model.dropout=0.3",
    "train_dataloader.num_workers=1",
    "train_dataloader.persistent_workers=True",
    "default_hooks.checkpoint.max_keep_ckpts=1",
)


def train_tool(config: Path, work_dir: Path, *arguments: str) -> None:
    """Call `tools/train.py` in this process."""
    sys.path.insert(0, str(TOY.parent))
    sys.argv = ["train.py", str(config), "--work-dir", str(work_dir), *arguments]
    runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")


def train(
    work_dir: Path, *arguments: str, fault: Fault | None = None, options: tuple[str, ...] = OPTIONS, config: Path = TOY
) -> int:
    """Train in a child; return its exit code. The log is `work_dir` with `.log`."""
    options = ("--cfg-options", *options) if options else ()
    work = functools.partial(train_tool, config, work_dir, *arguments, *options)
    return run_in_child(work, work_dir.with_suffix(".log"), fault)


def finish(work_dir: Path, starts: int = 20, **how) -> None:
    """Resume a training until it ends."""
    for _ in range(starts):
        if train(work_dir, "--resume", **how) == 0:
            return
    raise AssertionError(
        f"not finished, see {work_dir.with_suffix('.log')}:\n" + work_dir.with_suffix(".log").read_text()[-3000:]
    )
