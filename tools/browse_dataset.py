"""Draw samples of a data set: `python tools/browse_dataset.py --help`; installed, `dfmamba browse`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.browse_dataset import main

if __name__ == "__main__":
    main()
