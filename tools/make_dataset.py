"""Make SYNTHETIC hands in the layout of a data set: `python tools/make_dataset.py --help` or `dfmamba make`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.make_dataset import main

if __name__ == "__main__":
    main()
