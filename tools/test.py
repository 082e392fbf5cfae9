"""Test a trained model: `python tools/test.py --help`; installed, `dfmamba test`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.test import main

if __name__ == "__main__":
    main()
