"""Compare programs that find hands in whole pictures: ours, and MediaPipe in an environment of its own.

    python tools/compare_peers.py configs/box/nano.py --peer /path/to/mediapipe/bin/python --out work_dirs/peers

The pictures and the true hands are those of the config's test set, which has both hands in one sample (InterHand2.6M,
RHD, your own data). Ours is the model in the box, or any other of both hands (--model): with our finder, as MediaPipe
has one; looking at the whole picture and then at what was found there; and with the true boxes, which no program has in
practice. All know nothing of the camera and take hands of usual size. Each runs on one thread. How to install
MediaPipe: see tools/mediapipe_hands.py.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import add_common_arguments, add_config_options, launch, whole_number

if TYPE_CHECKING:
    from dfmamba.evaluation.found_hands import FoundHands, HandInPicture

ROOT = Path(__file__).resolve().parent.parent


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="its test set has the pictures and the true hands")
    parser.add_argument("--model", help="file or folder for HandPoseInferencer (default: the model in the box)")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="a Python that has mediapipe")
    parser.add_argument("--pictures", type=whole_number(1), help="so many, evenly spread (default: all)")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/peers"), help="folder for the report (default: work_dirs/peers)"
    )
    add_config_options(parser, "data_root=/where/it/is")
    add_common_arguments(parser)
    return parser.parse_args()


def true_hands(config: Any, limit: int | None) -> tuple[list[str], list[list["HandInPicture"]], list[Any]]:
    """Return the pictures' paths, their true hands, and the boxes (N, 4) around these."""
    import numpy as np
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS

    from dfmamba.errors import UserError
    from dfmamba.evaluation.found_hands import HandInPicture
    from dfmamba.skeleton import SIDES, TWO_HANDS, hand_slice

    init_default_scope(config.default_scope)
    dataset = DATASETS.build({**config.test_dataloader.dataset, "pipeline": []})
    samples = [dataset.get_data_info(number) for number in range(len(dataset))]
    if samples[0]["keypoints"].shape[1] != TWO_HANDS.num_joints:
        raise UserError(f"{config.filename}: expected a test set with both hands in one sample, got one hand of each")
    hands: dict[str, list[HandInPicture]] = {}
    boxes: dict[str, list[Any]] = {}
    for sample in samples:
        path = str(Path(sample["img_path"]).resolve())
        boxes.setdefault(path, []).append(sample["bbox"][0])
        for side, name in enumerate(SIDES):
            part = hand_slice(side)
            valid = sample["keypoints_visible"][0, part] > 0
            if valid.any():
                points, space = sample["keypoints"][0, part, :2], sample["keypoints_cam"][0, part]
                hands.setdefault(path, []).append(HandInPicture(name, points, space, valid))
    paths = list(boxes)
    if limit is not None and limit < len(paths):
        paths = [paths[number] for number in np.linspace(0, len(paths) - 1, limit).round().astype(int)]
    return paths, [hands.get(path, []) for path in paths], [np.array(boxes[path]) for path in paths]


def run_ours(
    model: str | None, paths: Sequence[str], boxes: Any, finder: bool
) -> tuple[list[list["HandInPicture"]], float]:
    """Return what our model finds in each picture, and milliseconds a picture, files read."""
    import numpy as np

    from dfmamba.apis import HandPoseInferencer
    from dfmamba.evaluation.found_hands import HandInPicture

    inferencer = HandPoseInferencer(model, finder=finder, threads=1)
    inferencer(paths[0])
    start = time.perf_counter()
    results = inferencer(list(paths), boxes, batch_size=1)
    elapsed = time.perf_counter() - start
    known = np.ones(21, bool)
    found = [
        [HandInPicture(hand.side or "right", hand.keypoints_px, hand.keypoints_mm, known) for hand in result.hands]
        for result in results
    ]
    return found, 1000 * elapsed / len(paths)


def run_peer(python: Path, paths: Sequence[str], out: Path) -> tuple[str, list[list["HandInPicture"]], float]:
    """Return the peer's name, what it finds in each picture, and milliseconds a picture, without reading files."""
    import numpy as np

    from dfmamba.errors import UserError
    from dfmamba.evaluation.found_hands import HandInPicture
    from dfmamba.skeleton import FROM_DEXYCB

    (out / "pictures.json").write_text(json.dumps(list(paths)))
    command = [str(python), str(ROOT / "tools/mediapipe_hands.py"), str(out / "pictures.json"), str(out / "found.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"--peer: {python} tools/mediapipe_hands.py failed: {done.stderr.strip().splitlines()[-1]}")
    content = json.loads((out / "found.json").read_text())
    order, known = list(FROM_DEXYCB), np.ones(21, bool)  # MediaPipe's order is DexYCB's
    found = [
        [
            HandInPicture(
                hand["side"],
                np.array(hand["keypoints_px"])[order],
                np.array(hand["keypoints_mm"])[order],
                known,
            )
            for hand in picture["hands"]
        ]
        for picture in content["pictures"]
    ]
    return content["program"], found, 1000 * float(np.mean([picture["seconds"] for picture in content["pictures"]]))


def as_markdown(rows: Sequence[tuple[str, "FoundHands", float]]) -> str:
    """Return the report's table."""
    lines = [
        "| program | found | right side | too many | px | of the hand's size | mm, wrists together | mm, Procrustes "
        "| ms a picture |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {score.found} of {score.there} | {score.right_side} | {score.too_many} | {score.error_px:.1f} "
        f"| {score.error_of_size:.1%} | {score.root_relative_mm:.1f} | {score.procrustes_mm:.1f} | {ms:.1f} |"
        for name, score, ms in rows
    ]
    return "\n".join(lines) + "\n"


def compare(args: argparse.Namespace) -> None:
    """Run the programs, score them, write the report."""
    from dfmamba.engine.config import load_config
    from dfmamba.evaluation.found_hands import score_found
    from dfmamba.evaluation.report import write_json
    from dfmamba.io.outputs import check_output_folder

    out = check_output_folder("--out", args.out)
    paths, there, boxes = true_hands(load_config(args.config, args.cfg_options), args.pictures)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, given, finder in (
        ("ours, with the finder", None, True),
        ("ours, whole pictures", None, False),
        ("ours, true boxes", boxes, False),
    ):
        found, ms = run_ours(args.model, paths, given, finder)
        rows.append((name, score_found(there, found), ms))
    if args.peer is not None:
        name, found, ms = run_peer(args.peer, paths, out)
        rows.append((name, score_found(there, found), ms))
    table = as_markdown(rows)
    (out / "peers.md").write_text(table)
    write_json(out / "peers.json", {name: {**score.as_dict(), "ms": ms} for name, score, ms in rows})
    print(f"{len(paths)} pictures of {args.config}\n\n{table}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("compare_peers", lambda: compare(args), args)


if __name__ == "__main__":
    main()
