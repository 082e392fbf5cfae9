"""Score a file of predictions by a published protocol; no model, no GPU, no mmpose needed.

Examples:
    python tools/score.py nyu --pred theirs.txt --gt nyu/test/joint_data.mat
    python tools/score.py dexycb --pred results.txt --gt /data/dex-ycb --setup s0 --split test
    python tools/score.py interhand26m --pred mine.json --gt annotations/test/InterHand2.6M_test_data.json

The truth is the data set's own annotation, or a file in the format of the predictions:
    interhand26m   predictions: JSON of ours                    truth: also *_data.json, with the other two beside it
    rhp            predictions: JSON of ours                    truth: also anno_evaluation.pickle, COCO-style JSON
    nyu            predictions: u v d of 14 joints a line, .mat truth: also joint_data.mat
    dexycb         predictions: image_id, 63 numbers a line     truth: also the data set's folder
    assemblyhands  predictions: JSON of frames, HANDS 2024's    truth: *_joint_3d_*.json (by frame); *_ego_data_*.json,
                   with the other two beside it (by camera image, as the toolkit counts); HANDS 2024's
docs/protocols.md describes protocols and formats.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import add_common_arguments, launch

if TYPE_CHECKING:
    from dfmamba.evaluation.scores import JointTable, Scores

NAMES = ("interhand26m", "rhp", "nyu", "dexycb", "assemblyhands")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=NAMES, help="the protocol, named after its data set")
    parser.add_argument(
        "--pred",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="predictions; several files are scored one after the other and drawn into one picture",
    )
    parser.add_argument("--gt", type=Path, required=True, metavar="FILE", help="the truth, see above")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where scores.json and curves.png go (default: work_dirs/score_<protocol>)",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="score what both files have, and say what is left out (default: anything missing or unknown is an error)",
    )
    parser.add_argument(
        "--root-relative",
        action="store_true",
        help="dexycb: the predictions are relative to the wrist; leave the absolute numbers out",
    )
    parser.add_argument("--setup", default="s0", help="dexycb, truth from the folder: set-up (default: s0)")
    parser.add_argument("--split", default="test", help="dexycb, truth from the folder: split (default: test)")
    parser.add_argument(
        "--validity",
        default="visible",
        choices=("visible", "annotated"),
        help="rhp, truth from the data set's files: which joints count (default: visible)",
    )
    parser.add_argument(
        "--coordinates",
        choices=("uvd", "xyz", "xyz-y-down"),
        help="nyu: what the predictions are: "
        "u v d in px, px, mm (default), or x y z in mm with y up, or with y down; a .mat file tells",
    )
    parser.add_argument(
        "--hand",
        default="prominent",
        choices=("prominent", "most_pixels", "most_visible", "right", "left"),
        help="rhp, truth from the data set's files: which hand of each image (default: "
        "prominent, a JSON file's, or the pickle's with more pixels in the masks beside it; "
        "most_visible needs no masks)",
    )
    add_common_arguments(parser)
    args = parser.parse_args(arguments)
    if args.root_relative and args.protocol != "dexycb":
        parser.error("--root-relative: only dexycb has absolute numbers to leave out")
    if args.coordinates and args.protocol != "nyu":
        parser.error("--coordinates: only nyu's files come in several")
    if len({path.stem for path in args.pred}) < len(args.pred):
        parser.error("--pred: expected files with different names, which label the results")
    args.out = args.out or Path("work_dirs") / f"score_{args.protocol}"
    return args


def read_truth(args: argparse.Namespace) -> "JointTable":
    """Read the truth: a data set's own annotation, told by its name, or a result file."""
    from dfmamba.evaluation.result_files import is_joints_json, read_result_file

    if not args.gt.exists():
        raise FileNotFoundError(f"--gt: no such file or folder: {args.gt}")
    if args.protocol == "nyu" and args.gt.suffix == ".mat":
        from dfmamba.apis.truth_files import read_nyu_truth

        return read_nyu_truth(args.gt)
    if args.protocol == "dexycb" and args.gt.is_dir():
        from dfmamba.apis.truth_files import read_dexycb_truth

        return read_dexycb_truth(args.gt, args.setup, args.split)
    if args.protocol == "interhand26m" and not is_joints_json(args.gt):
        from dfmamba.apis.truth_files import read_interhand26m_truth

        return read_interhand26m_truth(args.gt)
    if args.protocol == "rhp" and not is_joints_json(args.gt):
        from dfmamba.apis.truth_files import read_rhp_truth

        return read_rhp_truth(args.gt, args.validity, args.hand)
    if args.protocol == "assemblyhands" and "_ego_data_" in args.gt.name:
        from dfmamba.apis.truth_files import read_assemblyhands_truth

        return read_assemblyhands_truth(args.gt)
    return read_result_file(args.protocol, args.gt)


def score(args: argparse.Namespace) -> None:
    """Read, score, print the tables, write JSON and picture."""
    from dfmamba.apis.prediction_files import read_predictions
    from dfmamba.evaluation.curves import draw_curves
    from dfmamba.evaluation.report import format_scores, is_synthetic, write_json
    from dfmamba.evaluation.scoring import protocol_of, score_tables
    from dfmamba.io.outputs import check_output_folder

    check_output_folder("--out", args.out)
    truth = read_truth(args)
    protocol = protocol_of(args.protocol, truth)
    results: dict[str, Scores] = {}
    content = {
        "protocol": protocol.description,
        "truth": str(args.gt),
        "synthetic": is_synthetic(args.gt),
        "results": {},
    }
    if content["synthetic"]:
        print("SYNTHETIC data: not comparable with published results")
    for path in args.pred:
        pred = read_predictions(args.protocol, path, by_camera="camera" in truth.fields, coordinates=args.coordinates)
        scores, notes = score_tables(args.protocol, pred, truth, partial=args.partial, root_relative=args.root_relative)
        results[path.stem] = scores
        content["results"][path.stem] = {
            "file": str(path),
            "notes": notes,
            "metrics": scores.metrics,
            "details": scores.details,
            "curves": {label: curve._asdict() for label, curve in scores.curves.items()},
        }
        print(path, *(f"NOTE: {note}" for note in notes), format_scores(protocol, scores.metrics), "", sep="\n")
    write_json(args.out / "scores.json", content)
    draw_curves(
        args.out / "curves.png",
        {name: scores.curves for name, scores in results.items()},
        ("SYNTHETIC data; " if content["synthetic"] else "") + protocol.description["name"],
    )
    print(f"written: {args.out / 'scores.json'}, {args.out / 'curves.png'}")


def main(arguments: list[str] | None = None) -> None:
    """Run the tool."""
    args = parse_args(arguments)
    launch("score", lambda: score(args), args)


if __name__ == "__main__":
    main()
