"""Find the joints of hands in pictures: `dfmamba predict hand.jpg`, with the model in the box.

Each picture gets a drawing and a JSON file with joints, their names, frames and units in the folder of `--out`. Other
models: `--model model.onnx`, a file of `dfmamba export`, or `--model CONFIG --checkpoint FILE`.
"""

import argparse
import json
import re
from pathlib import Path

from dfmamba.cli.command_line import (
    add_common_arguments,
    add_config_options,
    counted,
    launch,
    real_number,
    whole_number,
)

FINDERS = {None: None, "box": True, "none": False}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pictures", nargs="+", help="images, videos, folders or patterns; a number is that of a camera, until Ctrl+C"
    )
    parser.add_argument(
        "--model",
        "--config",
        help="file of dfmamba export (.onnx), config file, or folder of dfmamba pack (default: the model in the box)",
    )
    parser.add_argument("--checkpoint", help="checkpoint file (.pth) of a config; other models have their own weights")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), help="folder for results (default: predictions)"
    )
    parser.add_argument(
        "--box",
        nargs=4,
        type=real_number(),
        metavar=("X0", "Y0", "X1", "Y1"),
        help="box around the hands in px, in all pictures (default: found)",
    )
    parser.add_argument(
        "--finder",
        metavar="box|none|MODEL",
        help="what finds hands where there are no boxes: the finder in the box, or another one in a folder of dfmamba "
        "pack or an ONNX file; none looks at the whole picture and then at what was found there (default: box for the "
        "model in the box, none for others)",
    )
    parser.add_argument(
        "--detector",
        nargs=2,
        metavar=("CONFIG", "CHECKPOINT"),
        help="config and checkpoint of a hand detector of mmdet, whose first category is a hand",
    )
    parser.add_argument("--side", choices=["right", "left"], help="for models of one hand (default: right)")
    parser.add_argument(
        "--min-presence",
        type=real_number(0, 1),
        metavar="P",
        help="leave out hands that are less probable, where finder or model say how probable they are; 0 keeps all "
        "(default: 0.5 of a model, 0.4 of the finder)",
    )
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
    parser.add_argument(
        "--bone-length", type=real_number(0), metavar="MM", help="wrist to middle1, for DetNet's models (default: 86)"
    )
    parser.add_argument(
        "--center-depth", type=real_number(0), metavar="MM", help="of the hand in a depth image, for NYU's models"
    )
    parser.add_argument("--smooth", action="store_true", help="smooth the joints of videos (default: off)")
    parser.add_argument("--batch-size", type=whole_number(1), default=8, help="boxes at a time (default: 8)")
    parser.add_argument("--engine", choices=["onnxruntime", "torch"], help="of packed models (default: onnxruntime)")
    parser.add_argument("--threads", type=whole_number(1), help="of onnxruntime (default: all cores)")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: the CPU; a GPU where torch has one)")
    parser.add_argument("--no-drawings", action="store_true", help="write JSON only (default: off)")
    add_config_options(parser, "model.test_cfg.flip_test=False")
    add_common_arguments(parser)
    args = parser.parse_args()
    if sum(one is not None for one in (args.box, args.detector, args.finder)) > 1:
        parser.error("--box, --detector, --finder: expected one of them")
    if args.root_depth is not None and args.camera is None:
        parser.error("--root-depth: expected --camera beside it")
    return args


def predict(args: argparse.Namespace) -> None:
    """Write a drawing and a JSON file for each picture, as soon as it is done."""
    from time import perf_counter

    from dfmamba.apis import Camera, HandFinder, HandPoseInferencer, OneEuro
    from dfmamba.apis.boxes import Boxes
    from dfmamba.apis.packed_model import describe_card
    from dfmamba.io.atomic import write_atomically
    from dfmamba.io.outputs import check_output_folder

    check_output_folder("--out", args.out)
    camera = Camera(tuple(args.camera[:2]), tuple(args.camera[2:]), args.root_depth) if args.camera else None
    finder: HandFinder | bool | None
    if args.finder in FINDERS:
        finder = FINDERS[args.finder]
    else:
        finder = HandFinder(args.finder, min_score=args.min_presence, threads=args.threads)
    inferencer = HandPoseInferencer(
        args.model,
        args.checkpoint,
        engine=args.engine,
        device=args.device,
        hand_side=args.side,
        finder=finder,
        min_presence=args.min_presence,
        bone_length_mm=args.bone_length,
        center_depth_mm=args.center_depth,
        threads=args.threads,
        cfg_options=args.cfg_options,
    )
    if inferencer.card is not None:
        print(describe_card(inferencer.card))
    source = [int(one) if re.fullmatch("[0-9]+", one) else one for one in args.pictures]
    boxes: Boxes = None if args.box is None else lambda pixels: [args.box]
    if args.detector is not None:
        from dfmamba.apis.detector import MmdetDetector

        boxes = MmdetDetector(*args.detector, device=args.device or "cpu")
    args.out.mkdir(parents=True, exist_ok=True)
    count, start = 0, perf_counter()
    smoothing = OneEuro() if args.smooth else None
    results = inferencer.stream(source, boxes, camera=camera, batch_size=args.batch_size, smoothing=smoothing)
    for count, found in enumerate(results, 1):
        name = f"{count:05d}_{re.sub('[^A-Za-z0-9._#-]', '_', found.picture.name)}"
        write_atomically(args.out / f"{name}.json", json.dumps(found.to_json(), indent=1))
        if not args.no_drawings:
            found.save(args.out / f"{name}.png")
        print(f"{found.picture.name}: {counted(len(found.hands), 'hand')}, {args.out / name}.json", flush=True)
    rate = count / (perf_counter() - start)
    print(f"{counted(count, 'picture')}, {rate:.1f} a second with drawings and files, results in {args.out}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("predict", lambda: predict(args), args)


if __name__ == "__main__":
    main()
