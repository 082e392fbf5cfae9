"""The main job in one go: joints by the model in the box, then a synthetic set, nano trained on it and tested.

At the end it says where everything is.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from command_line import add_common_arguments, launch, whole_number
from dfmamba.datasets.spec import data_sets

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = "data/synthetic_photographs"
VIEW_SPREAD = "30"  # degrees: hands seen from the front, which a small model learns in minutes


DEMOS = {spec.name: spec.demo for spec in data_sets().values() if spec.demo}


def run(title: str, *command: str) -> None:
    """Run one of our tools from the repository's root; leave with its exit code if it fails."""
    print(f"\n=== {title}\n$ python {' '.join(command)}", flush=True)
    start = time.monotonic()
    code = subprocess.call([sys.executable, *command], cwd=ROOT)
    if code:
        print(f"tools/run_demo.py: '{title}' failed; its message is above", file=sys.stderr)
        sys.exit(code)
    print(f"=== {title}: {time.monotonic() - start:.0f} s", flush=True)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-set", choices=DEMOS, default="interhand26m", help="layout (default: interhand26m)")
    parser.add_argument(
        "--train", type=whole_number(1), help="training images (default: the demo's own, see docs/demos.md)"
    )
    parser.add_argument("--test", type=whole_number(1), help="test images (default: the demo's own)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of the data (default: 0)")
    parser.add_argument("--work-dir", help="where results go (default: work_dirs/<name of the config>)")
    add_common_arguments(parser)
    return parser.parse_args()


def run_demo(args: argparse.Namespace) -> None:
    """Run the steps."""
    demo = DEMOS[args.data_set]
    train, test = (
        default if count is None else count for count, default in ((args.train, demo.train), (args.test, demo.test))
    )
    config, data = f"configs/demo/{demo.config}.py", f"data/synthetic_{args.data_set}"
    folder = args.work_dir or f"work_dirs/{demo.config}"

    start = time.monotonic()
    specs = data_sets().values()
    layout = next(spec.name for spec in specs if spec.writer and not spec.demo and "photo" in spec.writer_layout.styles)
    run(
        "Draw a few synthetic photographs",
        *("tools/make_dataset.py", layout, "--style", "photo", "--out", PHOTOGRAPHS, "--test", "8"),
    )
    run(
        "Find their joints with the model in the box",
        *("tools/predict.py", f"{PHOTOGRAPHS}/images", "--out", f"{folder}/model_in_the_box"),
    )
    run(
        "Make the synthetic data",
        "tools/make_dataset.py",
        args.data_set,
        "--out",
        data,
        "--train",
        str(train),
        f"--{demo.test_split}",
        str(test),
        "--seed",
        str(args.seed),
        "--view-spread",
        VIEW_SPREAD,
    )
    run("Train nano", "tools/train.py", config, "--work-dir", folder)
    work_dir = ROOT / folder
    checkpoint = (work_dir / "last_checkpoint").read_text().strip()
    run(
        "Test it on held-out synthetic images",
        "tools/test.py",
        config,
        checkpoint,
        "--work-dir",
        folder,
        "--out",
        f"{folder}/result.json",
    )

    metrics = json.loads((work_dir / "result.json").read_text())["metrics"]
    error, constant = metrics[demo.error], metrics[demo.constant]
    print(f"\n{demo.error}: {error:.1f}; the best constant pose: {constant:.1f}; {1 - error / constant:.0%} better")
    print(f"Done in {(time.monotonic() - start) / 60:.1f} minutes. All figures above are of SYNTHETIC hands.")
    print(f"Table and protocol  {folder}/result.json\nPictures:")
    for picture in sorted(work_dir.glob("*.png")) + sorted(work_dir.glob("*.jpg")):
        print(f"  {picture.relative_to(ROOT)}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("run_demo", lambda: run_demo(args), args)


if __name__ == "__main__":
    main()
