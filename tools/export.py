"""Write a trained model as a file for other runtimes: `python tools/export.py --help`; installed, `dfmamba export`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.export import main

if __name__ == "__main__":
    main()
