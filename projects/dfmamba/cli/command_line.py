"""What all tools share: --debug, the types of numbers, and how they start. Needs the standard library only.

So `--help` is quick, and a missing environment gets one clear line.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable

from dfmamba.errors import run_tool


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every tool has."""
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show the traceback of an error, which otherwise is one message (default: off)",
    )


def add_config_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Add `--cfg-options`, with an example of a setting for its help."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help=f"change settings of the config, such as {example}; an unknown key is an error; "
        "+KEY=VALUE adds one; values are numbers, True, False, None, texts, [a,b], or Python literals "
        "such as \"{'type': 'Adam'}\"",
    )


def whole_number(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """Return a type for `add_argument`: a whole number from `low` to `high`, in plain digits."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None
        if number is None or (low is not None and number < low) or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"expected a whole number{_between(low, high)}, got {text!r}")
        return number

    return parse


def real_number(low: float | None = None, high: float | None = None) -> Callable[[str], float]:
    """Return a type for `add_argument`: a finite number from `low` to `high`, in plain digits."""

    def parse(text: str) -> float:
        number = float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else math.nan
        if not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"expected a finite number{_between(low, high)}, got {text!r}")
        return number

    return parse


def _between(low: float | None, high: float | None) -> str:
    if high is not None:
        return f" from {low} to {high}"
    return f", {low} or more" if low is not None else ""


SEED = whole_number(0, 2**32 - 1)  # what NumPy and torch take


def launch(tool: str, work: Callable[[], int | None], args: argparse.Namespace) -> None:
    """Run a tool and leave with its exit code, see `dfmamba.errors.run_tool`.

    Args:
        tool: Its name, without folder and ending.
        work: What it does. It imports what it needs, so that an incomplete environment is told here.
        args: Its arguments, with those of `add_common_arguments`.
    """
    run_tool(_program(tool), work, args.debug)


def launch_on_every_rank(tool: str, work: Callable[[], None], args: argparse.Namespace) -> None:
    """Like `launch`, where this process may be one of several: see `dfmamba.engine.distributed.one_voice`."""

    def work_with_one_voice() -> None:
        from dfmamba.engine.distributed import one_voice

        one_voice(_program(tool), work)

    launch(tool, work_with_one_voice, args)


def _program(tool: str) -> str:
    """Return what the user has typed: `tools/train.py` or `dfmamba train`, as `dfmamba.cli.main` writes it."""
    return sys.argv[0] if sys.argv[0].startswith("dfmamba ") else f"tools/{tool}.py"


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 hand`, `2 hands`; `many` is needed for words whose plural is not with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"
