"""Find the joints of hands in pictures: `python tools/predict.py --help`; installed, `dfmamba predict`."""

import command_line  # noqa: F401, finds the package
from dfmamba.cli.predict import main

if __name__ == "__main__":
    main()
