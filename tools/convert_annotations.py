"""Convert annotations of hands: `python tools/convert_annotations.py --help`; installed, `dfmamba convert`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.convert_annotations import main

if __name__ == "__main__":
    main()
