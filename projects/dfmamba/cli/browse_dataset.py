"""Draw samples of a data set: `.venv/bin/python tools/browse_dataset.py CONFIG [--split train] [--raw]`.

A contact sheet of samples as the model sees them: cropped, augmented, with joints, bones, sides (R, L) and the box.
With --raw the images as they are on the disk.
"""

import argparse
import logging
from pathlib import Path

from dfmamba.cli.command_line import SEED, add_common_arguments, add_config_options, launch, whole_number


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file, such as configs/dfmamba_interhand.py")
    parser.add_argument(
        "--split", choices=["train", "val", "test"], default="train", help="whose data loader (default: train)"
    )
    parser.add_argument(
        "--num", type=whole_number(1), default=24, metavar="N", help="samples, evenly spread (default: 24)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.jpg|.png",
        help="the picture (default: <name of the config>_<split>.jpg in the current folder)",
    )
    parser.add_argument("--raw", action="store_true", help="whole images, before crop and augmentation")
    parser.add_argument("--seed", type=SEED, default=0, help="of the augmentation (default: 0)")
    add_config_options(parser, "data_root=/data/InterHand2.6M")
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out is not None and args.out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        parser.error(f"--out: expected a name that ends in .jpg or .png, got {args.out}")
    return args


def browse(args: argparse.Namespace) -> None:
    """Draw the sheet and write it."""
    import numpy as np
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from rich.console import Console
    from rich.progress import track

    from dfmamba.data_tools.browse import draw_results, run_pipeline
    from dfmamba.data_tools.check import build_dataset, inner_configs
    from dfmamba.engine.cli import require_keys
    from dfmamba.engine.config import load_config
    from dfmamba.engine.report import is_synthetic
    from dfmamba.io.outputs import check_output_file
    from dfmamba.visualization.contact_sheet import make_contact_sheet, save_image

    path = check_output_file("--out", args.out or f"{Path(args.config).stem}_{args.split}.jpg")
    console = Console(soft_wrap=True)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    config = load_config(args.config, args.cfg_options)
    require_keys(config, f"{args.split}_dataloader")
    init_default_scope(config.get("default_scope", "mmengine"))
    dataset = build_dataset(next(inner_configs(config[f"{args.split}_dataloader"].dataset)) | {"lazy_init": True})
    with console.status("reading the annotations, or their index"):
        dataset.full_init()
    np.random.seed(args.seed)  # noqa: NPY002, the transforms draw from NumPy's global generator
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(args.num, len(dataset))).round().astype(int))
    tiles, captions = [], []
    for number in track(chosen.tolist(), "drawing samples", console=console, transient=True):
        tile, caption = draw_results(run_pipeline(dataset, number, args.raw), tile_px=320, raw=args.raw)
        tiles.append(tile)
        captions.append(caption)
    fingerprint = dataset.metainfo["data_source"]["fingerprint"]
    title = (
        f"{'SYNTHETIC data; ' if is_synthetic(dataset) else ''}{args.config}, {args.split}, "
        f"{fingerprint}{', raw' if args.raw else ''}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, make_contact_sheet(tiles, captions, title, only_gt=True))
    console.print(f"written: {path} ({len(tiles)} of {len(dataset)} samples)")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("browse_dataset", lambda: browse(args), args)


if __name__ == "__main__":
    main()
