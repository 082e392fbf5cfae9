"""Pack a trained and tested model: `python tools/pack_model.py --help`; installed, `dfmamba pack`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.pack_model import main

if __name__ == "__main__":
    main()
