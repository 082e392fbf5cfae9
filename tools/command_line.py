"""Finds the package for the tools, installed or not, and hands on what they share."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "projects"))

from dfmamba.cli.command_line import (
    SEED,
    add_common_arguments,
    add_config_options,
    launch,
    launch_on_every_rank,
    real_number,
    whole_number,
)

__all__ = [
    "SEED",
    "add_common_arguments",
    "add_config_options",
    "launch",
    "launch_on_every_rank",
    "real_number",
    "whole_number",
]
