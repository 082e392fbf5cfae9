"""Time backbones and whole models: `python tools/benchmark.py --help`; installed, `dfmamba bench`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.benchmark import main

if __name__ == "__main__":
    main()
