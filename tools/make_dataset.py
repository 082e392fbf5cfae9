"""Write a SYNTHETIC data set in the exact layout of a public one.

Example: python tools/make_dataset.py interhand26m --out data/synthetic --train 800 --test 200 --seed 0
"""

import argparse
import os
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dfmamba.skeleton import SIDES
from dfmamba.synthesis.assemblyhands import write_assemblyhands
from dfmamba.synthesis.dexycb import write_dexycb
from dfmamba.synthesis.interhand26m import write_interhand26m
from dfmamba.synthesis.nyu import write_nyu
from dfmamba.synthesis.output import SPLITS
from dfmamba.synthesis.rhp import write_rhp

WRITERS = {
    "interhand26m": (write_interhand26m, "InterHand2.6M v1.0: right, left and interacting hands"),
    "assemblyhands": (write_assemblyhands, "AssemblyHands v1.1, ego views: hands that hold toys; test has no truth"),
    "dexycb": (write_dexycb, "DexYCB: hands that hold things; counts by the splits of s0, in multiples of 8"),
    "nyu": (write_nyu, "NYU hand pose: depth and colour of three cameras, joint_data.mat, centres"),
    "rhp": (write_rhp, "RHD v1.1, the Rendered Hand Pose data set: colour, depth, masks; pickles and COCO-style JSON"),
}
TEST_SHARE = 0.2  # of --num


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    layouts = parser.add_subparsers(dest="layout", required=True, metavar="LAYOUT")
    for name, (write, text) in WRITERS.items():
        layout = layouts.add_parser(name, help=text, description=text)
        layout.set_defaults(write=write)
        layout.add_argument("--out", type=Path, required=True, help="folder for the set")
        layout.add_argument("--num", type=int, help=f"images in all: {1 - TEST_SHARE:.0%} train, {TEST_SHARE:.0%} test")
        for split in SPLITS:
            layout.add_argument(f"--{split}", type=int, default=0, help=f"images in the {split} split (default 0)")
        layout.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default 0)")
        layout.add_argument("--view-spread", type=float, metavar="DEG",
                            help="an easier set: cameras and hands within about so many degrees of the front "
                                 "(default: all around)")
        layout.add_argument("--workers", type=int, default=os.cpu_count() or 1,
                            help="processes (default: one for each core)")
        layout.add_argument("--overwrite", action="store_true",
                            help="write into a folder that holds other files than an earlier synthetic set")
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


def main(arguments: list[str] | None = None) -> None:
    """Write the set and say what was written."""
    args = parse_args(arguments)
    console = Console()
    counts = image_counts(args)
    start = time.perf_counter()
    columns = (TextColumn("drawing synthetic hands"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("images", total=sum(counts.values()))
            written = args.write(args.out, counts, args.seed, view_spread_deg=args.view_spread,
                                 workers=args.workers, overwrite=args.overwrite,
                                 on_images=lambda count: progress.advance(bar, count))
            progress.update(bar, visible=written is not None)
    except (ValueError, OSError, BrokenProcessPool) as error:
        sys.exit(f"make_dataset: {error}")
    if written is None:
        console.print(f"This very set is there already: {args.out}", soft_wrap=True)
        return
    seconds = time.perf_counter() - start
    kinds = sorted({kind for _, kind in written}, key=lambda kind: ((*SIDES, kind).index(kind), kind))
    for split in SPLITS:
        if counts.get(split):
            console.print(f"{split}: {', '.join(f'{written[split, kind]} {kind}' for kind in kinds)}", soft_wrap=True)
    total = sum(counts.values())
    console.print(f"Wrote {total} synthetic images to {args.out} in {seconds:.1f} s "
                  f"({total / seconds:.1f} images a second, {args.workers} processes)", soft_wrap=True)


if __name__ == "__main__":
    main()
