"""The command `dfmamba`: `dfmamba predict hand.jpg`, `dfmamba train CONFIG` and so on."""

import sys
from importlib import import_module

from dfmamba import __version__
from dfmamba.errors import EXIT_USER_ERROR

COMMANDS = {  # name, module, what it does
    "predict": ("predict", "find the joints of hands in pictures and videos"),
    "train": ("train", "train a model"),
    "test": ("test", "test a trained model"),
    "score": ("score", "score result files, of this project or of others"),
    "check": ("check_data", "check the data sets of a config"),
    "browse": ("browse_dataset", "draw samples of a data set"),
    "make": ("make_dataset", "make SYNTHETIC hands in the layout of a data set"),
    "convert": ("convert_annotations", "convert annotations into the JSON file of own data"),
    "export": ("export", "write a trained model as a file for other runtimes"),
    "pack": ("pack_model", "pack a trained and tested model into a folder"),
    "bench": ("benchmark", "time backbones and whole models"),
}


def usage() -> str:
    """Return what `dfmamba --help` shows."""
    lines = [f"  {name:9}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        ["usage: dfmamba COMMAND ...", "", *lines, "", "`dfmamba COMMAND --help` tells more; `--version` the version."]
    )


def main() -> None:
    """Run the command that is named on the command line."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return
    if arguments[0] == "--version":
        print(f"dfmamba {__version__}")
        return
    if arguments[0] not in COMMANDS:
        print(f"dfmamba: expected one of {', '.join(COMMANDS)}, got {arguments[0]!r}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    sys.argv = [f"dfmamba {arguments[0]}", *arguments[1:]]
    import_module(f"dfmamba.cli.{COMMANDS[arguments[0]][0]}").main()


if __name__ == "__main__":
    main()
