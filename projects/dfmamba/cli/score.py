"""Score a file of predictions by a published protocol; no model, no GPU, no mmpose needed.

Examples:
    python tools/score.py nyu --pred theirs.txt --gt nyu/test/joint_data.mat
    python tools/score.py dexycb --pred results.txt --gt /data/dex-ycb --setup s0 --split test
    python tools/score.py interhand26m --pred mine.json --gt annotations/test/InterHand2.6M_test_data.json

The ground truth is the data set's own annotation, or a file in the format of the predictions. `score.py SET --help`
names the formats and the options of a set; docs/protocols.md describes the protocols.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfmamba.cli.command_line import add_common_arguments, launch
from dfmamba.datasets.spec import DatasetSpec, data_set, data_sets

if TYPE_CHECKING:
    from dfmamba.evaluation.protocol import Scores


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = parser.add_subparsers(dest="data_set", required=True, metavar="SET")
    for spec in data_sets().values():
        _add_arguments(sets.add_parser(spec.name, help=spec.title, description=_describe(spec)), spec)
    args = parser.parse_args(arguments)
    if len({path.stem for path in args.pred}) < len(args.pred):
        parser.error("--pred: expected files with different names, which label the results")
    args.out = args.out or Path("work_dirs") / f"score_{args.data_set}"
    return args


def _describe(spec: DatasetSpec) -> str:
    return f"{spec.title}. Predictions: {spec.pred_formats}. Ground truth: also {spec.gt_formats}."


def _add_arguments(parser: argparse.ArgumentParser, spec: DatasetSpec) -> None:
    """Add the arguments of one data set."""
    parser.add_argument(
        "--pred",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="predictions; several files are scored one after the other and drawn into one picture",
    )
    parser.add_argument("--gt", type=Path, required=True, metavar="FILE", help="the ground truth, see above")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where scores.json and curves.png go (default: work_dirs/score_<set>)"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="score what both files have, and say what is left out (default: anything missing or unknown is an error)",
    )
    for what, options in (("predictions", spec.pred_options), ("ground truth", spec.gt_options)):
        for option in options:
            form: dict[str, Any] = {"choices": option.choices or None}
            if option.default is False:
                form = {"action": "store_true"}
            parser.add_argument(
                f"--{option.name.replace('_', '-')}", default=option.default, help=f"{what}, {option.help}", **form
            )
    add_common_arguments(parser)


def score(args: argparse.Namespace) -> None:
    """Read, score, print the tables, write JSON and picture."""
    from dfmamba.evaluation.curves import draw_curves
    from dfmamba.evaluation.report import format_scores, is_synthetic, write_json
    from dfmamba.evaluation.score_tables import protocol_of, score_tables
    from dfmamba.io.outputs import check_output_folder

    check_output_folder("--out", args.out)
    if not args.gt.exists():
        raise FileNotFoundError(f"--gt: no such file or folder: {args.gt}")
    spec = data_set(args.data_set)
    gt = spec.results.read_gt(args.gt, **{option.name: getattr(args, option.name) for option in spec.gt_options})
    pred_options = {option.name: getattr(args, option.name) for option in spec.pred_options}
    protocol = protocol_of(args.data_set, gt)
    results: dict[str, Scores] = {}
    content: dict[str, Any] = {
        "protocol": protocol.description,
        "gt": str(args.gt),
        "synthetic": is_synthetic(args.gt),
        "results": {},
    }
    if content["synthetic"]:
        print("SYNTHETIC data: not comparable with published results")
    for path in args.pred:
        pred = spec.results.read_pred(path, gt, **pred_options)
        scores, notes = score_tables(args.data_set, pred, gt, partial=args.partial)
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
