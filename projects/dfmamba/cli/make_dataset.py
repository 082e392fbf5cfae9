"""Write a SYNTHETIC data set in the exact layout of a public one.

Example: python tools/make_dataset.py interhand26m --out data/synthetic --train 800 --test 200 --seed 0
"""

import argparse
import os
import time
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, counted, launch, real_number, whole_number
from dfmamba.datasets.spec import data_set, data_sets

SPLITS = ("train", "val", "test")
TEST_SHARE = 0.2  # of --num


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    layouts = parser.add_subparsers(dest="layout", required=True, metavar="LAYOUT")
    for spec in filter(lambda spec: spec.writer, data_sets().values()):
        text = f"{spec.title}: {spec.content}"
        layout = layouts.add_parser(spec.name, help=text, description=text)
        layout.add_argument("--out", type=Path, required=True, help="folder for the set")
        layout.add_argument(
            "--num", type=whole_number(1), help=f"images in all; one of {1 / TEST_SHARE:.0f} is for testing"
        )
        for split in SPLITS:
            layout.add_argument(
                f"--{split}", type=whole_number(0), default=0, help=f"images in the {split} split (default 0)"
            )
        layout.add_argument(
            "--seed", type=whole_number(0), default=0, help="the same seed gives the same bytes (default 0)"
        )
        layout.add_argument(
            "--view-spread",
            type=real_number(0, 180),
            metavar="DEG",
            help="an easier set: cameras and hands within about this angle of the front (default: all around)",
        )
        layout.add_argument(
            "--style",
            default="studio",
            help="studio: as the lab of InterHand2.6M; photo: as photographs, with anybody, any light, any view, and "
            "things beside the hands (interhand26m and own_data; default studio)",
        )
        layout.add_argument(
            "--workers",
            type=whole_number(1),
            default=os.cpu_count() or 1,
            help="processes (default: one for each core)",
        )
        layout.add_argument(
            "--overwrite",
            action="store_true",
            help="replace another synthetic set in this folder, or write beside other files; only what "
            "this tool has written is deleted",
        )
        add_common_arguments(layout)
    args = parser.parse_args(arguments)
    if (args.num is None) == (not any(getattr(args, split) for split in SPLITS)):
        parser.error("give either --num N, or counts such as --train N --test N")
    return args


def image_counts(args: argparse.Namespace) -> dict[str, int]:
    """Return the number of images of every split."""
    if args.num is None:
        return {split: getattr(args, split) for split in SPLITS}
    test = round(args.num * TEST_SHARE)
    return {"train": args.num - test, "test": test}


def make(args: argparse.Namespace) -> None:
    """Write the set and say what was written."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from dfmamba.errors import UserError
    from dfmamba.skeleton import SIDES

    console = Console()
    spec = data_set(args.layout)
    layout, write = spec.writer_layout, spec.write
    counts = image_counts(args)
    for split in SPLITS:
        if counts.get(split) and split not in layout.splits:
            raise UserError(f"--{split}: {layout.title} has no such split, only {' and '.join(layout.splits)}")
    if args.style not in layout.styles:
        raise UserError(f"--style: {layout.title} has {' and '.join(layout.styles)}, got {args.style}")
    style = {"style": args.style} if len(layout.styles) > 1 else {}
    start = time.perf_counter()
    columns = (TextColumn("drawing synthetic hands"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("images", total=sum(counts.values()))
        written = write(
            args.out,
            counts,
            args.seed,
            view_spread_deg=args.view_spread,
            **style,
            workers=args.workers,
            overwrite=args.overwrite,
            on_images=lambda count: progress.advance(bar, count),
        )
        progress.update(bar, visible=written is not None)
    if written is None:
        console.print(f"This very set is there already: {args.out}", soft_wrap=True)
        return
    seconds = time.perf_counter() - start
    kinds = sorted({kind for _, kind in written}, key=lambda kind: ((*SIDES, kind).index(kind), kind))
    for split in SPLITS:
        if counts.get(split):
            console.print(f"{split}: {', '.join(f'{written[split, kind]} {kind}' for kind in kinds)}", soft_wrap=True)
    total = sum(counts.values())
    console.print(
        f"Wrote {counted(total, 'synthetic image')} to {args.out} in {seconds:.1f} s "
        f"({total / seconds:.1f} images a second, {counted(args.workers, 'process', 'processes')})",
        soft_wrap=True,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the tool."""
    args = parse_args(arguments)
    launch("make_dataset", lambda: make(args), args)


if __name__ == "__main__":
    main()
