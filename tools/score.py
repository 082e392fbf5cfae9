"""Score result files: `python tools/score.py --help`; installed, `dfmamba score`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.score import main

if __name__ == "__main__":
    main()
