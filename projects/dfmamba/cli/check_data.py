"""Check the data sets of a config: `.venv/bin/python tools/check_data.py CONFIG`.

For each split: which files are missing, how many records there are and should be, why some are skipped, and a sample of
the records: images, units, depths, projections, boxes. Exit code 0: nothing is wrong; 1: something is; 2: a wrong call.
"""

import argparse
import logging
from contextlib import contextmanager
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, add_config_options, launch, whole_number


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file, such as configs/dfmamba_interhand.py")
    add_config_options(parser, "data_root=/data/InterHand2.6M")
    parser.add_argument(
        "--samples",
        type=whole_number(0),
        default=200,
        metavar="N",
        help="records of each split to look at, evenly spread; 0 for all (default: 200)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    add_common_arguments(parser)
    return parser.parse_args()


def check(args: argparse.Namespace) -> int:
    """Check every data set of the config; return the exit code."""
    from dataclasses import asdict

    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from rich.console import Console

    from dfmamba.data_tools.check import build_dataset, check_split, datasets_of
    from dfmamba.engine.config import load_config
    from dfmamba.evaluation.report import write_json
    from dfmamba.io.outputs import check_output_file

    if args.json is not None:
        check_output_file("--json", args.json)
    console = Console(soft_wrap=True)
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # what it tells is in the table
    config = load_config(args.config, args.cfg_options)
    init_default_scope(config.get("default_scope", "mmengine"))
    progress = make_progress(console)
    reports = []
    for splits, dataset_config in datasets_of(config):
        report = check_split(splits, build_dataset(dataset_config), args.samples, progress)
        show(console, report)
        reports.append(report)
    wrong = [", ".join(report.splits) for report in reports if report.wrong]
    if args.json is not None:
        write_json(
            args.json,
            {
                "config": args.config,
                "cfg_options": args.cfg_options,
                "wrong": wrong,
                "splits": [asdict(report) for report in reports],
            },
        )
        console.print(f"written: {args.json}")
    console.print(f"[bold red]Something is wrong with: {'; '.join(wrong)}" if wrong else "[green]Nothing is wrong.")
    return 1 if wrong else 0


def make_progress(console):
    """Return what shows spinners and bars while `check_split` works."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from dfmamba.data_tools.check import Progress

    class Shown(Progress):
        """Spinner and bar on the terminal."""

        def waiting(self, what: str):
            return console.status(what)

        @contextmanager
        def counting(self, what: str, total: int):
            columns = (TextColumn(f"looking at {what}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Bars(*columns, console=console, transient=True) as bars:
                task = bars.add_task(what, total=total)
                yield lambda count: bars.advance(task, count)

    return Shown()


def show(console, report) -> None:
    """Print the table of one data set; the tree and all paths where a file is missing."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    colors = {"ok": "green", "warning": "yellow", "wrong": "bold red"}
    title = f"{', '.join(report.splits)}: {report.dataset} in {report.data_root}"
    console.print(f"\n[bold]{escape(title)}[/bold]" + (", SYNTHETIC" if report.synthetic else ""), highlight=False)
    if report.fingerprint:
        console.print(
            f"fingerprint {report.fingerprint}; {report.sampled} of {report.used} records looked at", highlight=False
        )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in report.findings:
        table.add_row(finding.name, f"[{colors[finding.level]}]{finding.level}[/]", escape(finding.text))
    console.print(table)
    if not all(report.paths.values()):
        for path, is_there in report.paths.items():
            console.print(f"  {'there  ' if is_there else 'MISSING'}  {escape(path)}", highlight=False)
        console.print(f"Expected below {escape(report.data_root)}:\n{escape(report.tree)}", highlight=False)


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("check_data", lambda: check(args), args)


if __name__ == "__main__":
    main()
