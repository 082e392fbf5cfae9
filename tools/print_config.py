"""Print a config as it takes effect, one value a line, and the file or option that each value comes from.

python tools/print_config.py configs/dfmamba_interhand.py
python tools/print_config.py configs/dfmamba_interhand.py --cfg-options train_dataloader.batch_size=8 | grep batch_size
"""

import argparse

from command_line import add_common_arguments, add_config_options, launch


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="the config file")
    add_config_options(parser, "train_dataloader.batch_size=8")
    add_common_arguments(parser)
    return parser.parse_args()


def print_config(args: argparse.Namespace) -> None:
    """Print the config."""
    from dfmamba.engine.config_origins import format_settings, settings_with_origin

    print(format_settings(settings_with_origin(args.config, args.cfg_options)))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("print_config", lambda: print_config(args), args)


if __name__ == "__main__":
    main()
