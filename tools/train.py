"""Train a model: `python tools/train.py --help`; installed, `dfmamba train`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.train import main

if __name__ == "__main__":
    main()
