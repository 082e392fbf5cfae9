"""Check shell commands of the documents: bash takes them apart, the programs' own parsers take the arguments."""

import argparse
import contextlib
import importlib.util
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from document import ROOT

PROGRAMS = ("python", "pip", "make", "torchrun", "srun", "pytest")
# Words that stand for something of the reader's own.
PLACEHOLDERS = {
    "CONFIG": "configs/dfmamba_interhand.py",
    "CHECKPOINT": "epoch_42.pth",
    "LAYOUT": "rhp",
    "DIR": "data/mine",
    "IMAGE": "hand.jpg",
    "PARTITION": "gpu",
}
RECORDER = """#!/bin/sh
for word in "$(basename "$0")" "$@"; do printf '%s\\0' "$word" >> "$RECORD"; done
printf '\\n' >> "$RECORD"
"""


class ParsedError(Exception):
    """Carries arguments out of a program as soon as they are parsed."""


def commands(code: str, folder: Path) -> list[list[str]]:
    """Return the words of each command that bash would start; none of the programs runs.

    Args:
        code: A shell script.
        folder: An empty one, for the recording programs. It becomes the working directory.

    Raises:
        ValueError: The script calls something else than `PROGRAMS` and what a shell has, or has wrong syntax.
    """
    for place in (folder / "bin", folder / ".venv" / "bin"):
        place.mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            (place / program).write_text(RECORDER)
            (place / program).chmod(0o755)
    for entry in ("configs", "tools", "tests"):
        if not (folder / entry).exists():
            (folder / entry).symlink_to(ROOT / entry)
    record = folder / "record"
    record.write_text("")
    tools = {Path(found).parent for name in ("basename", "sh") if (found := shutil.which(name))}
    path = os.pathsep.join(map(str, [folder / "bin", *tools]))
    done = subprocess.run(
        ["bash", "-eu", "-c", code],
        cwd=folder,
        env={"PATH": path, "RECORD": str(record)},
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"bash: {done.stderr.strip()}")
    lines = record.read_text().splitlines()
    return [[PLACEHOLDERS.get(word, word) for word in line.split("\0")[:-1]] for line in lines]


def check(words: Sequence[str]) -> None:
    """Check one command.

    Raises:
        ValueError: Its program refuses the arguments, or a file of the repository that it names is not there.
    """
    program, *arguments = words
    if program == "python" and arguments[:1] == ["-m"]:
        program, *arguments = arguments[1:]
    if program == "python":
        _check_tool(arguments[0], arguments[1:])
    elif program == "make":
        _ask("make", "-n", *arguments)
    elif program == "pip":
        _ask(sys.executable, "-m", "pip", *arguments, "--help")  # pip parses all that stands in front of it
        _require(*(file for flag, file in itertools.pairwise(arguments) if flag == "-r"))
    elif program == "pytest":
        _ask(sys.executable, "-m", "pytest", *arguments, "--version")
        _require(*(word for word in arguments if word.startswith("tests/")))
    elif program == "torchrun":
        from torch.distributed.run import parse_args

        parsed = parse_args(arguments)
        _check_tool(parsed.training_script, parsed.training_script_args)
    elif program == "srun":
        check(arguments[arguments.index("python") :])
    else:
        raise ValueError(f"no check for the program {program}")


def tool_arguments(tool: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Let a tool of ours parse its arguments, and stop it there.

    Raises:
        ValueError: It refuses them, with its message.
    """
    path = _require(tool)[0]
    specification = importlib.util.spec_from_file_location(f"_documented_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        raise ParsedError(parse(self, args, namespace))

    stderr = io.StringIO()
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        mock.patch.object(sys, "argv", [tool, *arguments]),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            specification.loader.exec_module(module)
            module.main()
        except ParsedError as parsed:
            return parsed.args[0]
        except SystemExit as end:
            raise ValueError(stderr.getvalue().strip().splitlines()[-1]) from end
    raise ValueError(f"{tool} does not parse its arguments")


def _check_tool(tool: str, arguments: Sequence[str]) -> None:
    """Check the call of a tool of ours, with the settings of `--cfg-options` in the config that it is for."""
    parsed = tool_arguments(tool, arguments)
    _require(*(word.split(":")[0] for word in arguments if word.startswith("configs/")))
    config, options = getattr(parsed, "config", None), getattr(parsed, "cfg_options", None)
    if isinstance(config, str) and options:
        from dfmamba.engine.config import load_config

        load_config(ROOT / config, options)


def _require(*names: str) -> list[Path]:
    missing = [name for name in names if not (ROOT / name).exists()]
    if missing:
        raise ValueError(f"not in the repository: {', '.join(missing)}")
    return [ROOT / name for name in names]


def _ask(*words: str) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip())


def is_command(text: str) -> bool:
    """Say whether code within a text is a command with arguments, such as `make setup`."""
    others = "|".join(name for name in PROGRAMS if name != "python")
    return re.match(rf"(\.venv/bin/)?(python\s+(-m|tools/)|({others})\s)", text) is not None
