"""Convert annotations of hands into the JSON file of docs/own_data.md.

Example: python tools/convert_annotations.py coco hands.json --side right --out data/mine/train.json
"""

import argparse
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, counted, launch
from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS
from dfmamba.skeleton import SIDES


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    forms = parser.add_subparsers(dest="form", required=True, metavar="FORM")
    coco = forms.add_parser("coco", help="COCO keypoints of 21 joints a hand, or COCO-WholeBody's hands")
    coco.add_argument("--side", choices=SIDES, help="of hands whose annotation has no hand_type or side")
    coco.add_argument(
        "--joint-order",
        choices=list(JOINT_ORDERS),
        default="coco_wholebody",
        help="of the keypoints (default: coco_wholebody, which is MediaPipe's and OpenPose's, too)",
    )
    rhd = forms.add_parser("rhd", help="RHD's anno_*.pickle, or a JSON with the same content")
    rhd.add_argument(
        "--validity",
        choices=["visible", "annotated"],
        default="visible",
        help="which joints count (default: visible)",
    )
    for form in (coco, rhd):
        form.add_argument("source", type=Path, help="the annotation file")
        form.add_argument("--out", type=Path, required=True, help="the JSON file to write")
        form.add_argument(
            "--image-prefix",
            default="",
            metavar="FOLDER/",
            help="put before the names of the images, to make them relative to data_root (default: nothing)",
        )
        add_common_arguments(form)
    return parser.parse_args()


def convert(args: argparse.Namespace) -> None:
    """Write the file and say what is in it, and what is not."""
    from dfmamba.datasets.own_data.convert_coco import convert_coco
    from dfmamba.datasets.own_data.convert_rhd import convert_rhd
    from dfmamba.io.outputs import check_output_file

    check_output_file("--out", args.out)
    if args.form == "coco":
        converted = convert_coco(args.source, args.side, args.joint_order, args.image_prefix)
    else:
        converted = convert_rhd(args.source, args.validity, args.image_prefix)
    converted.write(args.out, args.source)
    there = f"{counted(converted.num_hands, 'hand')} in {counted(len(converted.images), 'image')}"
    print(f"{args.out}: {there}, order {converted.joint_order}")
    for reason, count in converted.left_out.items():
        if count:
            print(f"left out: {count} {reason}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("convert_annotations", lambda: convert(args), args)


if __name__ == "__main__":
    main()
