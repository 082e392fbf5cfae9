"""Find the joints of hands in pictures: `.venv/bin/python tools/predict.py hand.jpg --config CONFIG --checkpoint FILE`.

Each picture gets a drawing and a JSON file with joints, their names, frames and units in the folder of `--out`.
"""

import argparse
import json
import re
from pathlib import Path

from command_line import add_common_arguments, add_config_options, launch, real_number, whole_number


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pictures", nargs="+", help="images, videos, folders or patterns; a number is that of a camera, until Ctrl+C"
    )
    parser.add_argument(
        "--config", help="config file of the model, or a folder of tools/pack_model.py (default: the model in the box)"
    )
    parser.add_argument("--checkpoint", help="checkpoint file (.pth) of that config; a packed model has its own")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), help="folder for results (default: predictions)"
    )
    parser.add_argument(
        "--box",
        nargs=4,
        type=real_number(),
        metavar=("X0", "Y0", "X1", "Y1"),
        help="box around the hands in px, in all pictures (default: found by looking twice)",
    )
    parser.add_argument("--side", choices=["right", "left"], help="for models of one hand (default: right)")
    parser.add_argument(
        "--camera",
        nargs=4,
        type=real_number(),
        metavar=("FX", "FY", "CX", "CY"),
        help="focal lengths and principal point in px (default: not known)",
    )
    parser.add_argument(
        "--root-depth", type=real_number(0), metavar="MM", help="depth of the wrists; with --camera: joints in space"
    )
    parser.add_argument("--smooth", action="store_true", help="smooth the joints of videos (default: off)")
    parser.add_argument("--batch-size", type=whole_number(1), default=8, help="boxes at a time (default: 8)")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: a GPU where there is one)")
    parser.add_argument("--no-drawings", action="store_true", help="write JSON only (default: off)")
    add_config_options(parser, "model.test_cfg.flip_test=False")
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.root_depth is not None and args.camera is None:
        parser.error("--root-depth: expected --camera beside it")
    return args


def predict(args: argparse.Namespace) -> None:
    """Write a drawing and a JSON file for each picture, as soon as it is done."""
    from dfmamba.apis import Camera, HandPoseInferencer, OneEuro
    from dfmamba.io.atomic import write_atomically
    from dfmamba.io.outputs import check_output_folder

    check_output_folder("--out", args.out)
    camera = Camera(tuple(args.camera[:2]), tuple(args.camera[2:]), args.root_depth) if args.camera else None
    inferencer = HandPoseInferencer(
        args.config, args.checkpoint, device=args.device, hand_side=args.side, cfg_options=args.cfg_options
    )
    source = [int(one) if re.fullmatch("[0-9]+", one) else one for one in args.pictures]
    boxes = None if args.box is None else lambda pixels: [args.box]
    args.out.mkdir(parents=True, exist_ok=True)
    count = 0
    smoothing = OneEuro() if args.smooth else None
    results = inferencer.stream(source, boxes, camera=camera, batch_size=args.batch_size, smoothing=smoothing)
    for count, found in enumerate(results, 1):
        name = f"{count:05d}_{re.sub('[^A-Za-z0-9._#-]', '_', found.picture.name)}"
        write_atomically(args.out / f"{name}.json", json.dumps(found.to_json(), indent=1))
        if not args.no_drawings:
            found.save(args.out / f"{name}.png")
        print(f"{found.picture.name}: {len(found.hands)} hands, {args.out / name}.json", flush=True)
    print(f"{count} pictures, results in {args.out}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("predict", lambda: predict(args), args)


if __name__ == "__main__":
    main()
