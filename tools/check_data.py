"""Check the data sets of a config: `python tools/check_data.py --help`; installed, `dfmamba check`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.check_data import main

if __name__ == "__main__":
    main()
