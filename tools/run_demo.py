"""The main job in one go: make the synthetic set, train nano on it, test it, and say where everything is."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/demo/dfmamba_interhand_demo.py"
DATA = "data/synthetic_interhand26m"
VIEW_SPREAD = "30"  # degrees: hands seen from the front, which a small model learns in minutes


def run(title: str, *command: str) -> None:
    """Run one of our tools from the repository's root; leave with its exit code if it fails."""
    print(f"\n=== {title}\n$ python {' '.join(command)}", flush=True)
    start = time.monotonic()
    code = subprocess.call([sys.executable, *command], cwd=ROOT)
    if code:
        sys.exit(f"demo: '{title}' failed; its message is above")
    print(f"=== {title}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    """Run the three steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=2400, help="training images (default: 2400)")
    parser.add_argument("--test", type=int, default=200, help="test images (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data (default: 0)")
    parser.add_argument("--work-dir", default="work_dirs/dfmamba_interhand_demo", help="where results go")
    args = parser.parse_args()

    start = time.monotonic()
    run("Make the synthetic data", "tools/make_dataset.py", "interhand26m", "--out", DATA,
        "--train", str(args.train), "--test", str(args.test), "--seed", str(args.seed), "--view-spread", VIEW_SPREAD)
    run("Train nano", "tools/train.py", CONFIG, "--work-dir", args.work_dir)
    work_dir = ROOT / args.work_dir
    checkpoint = (work_dir / "last_checkpoint").read_text().strip()
    run("Test it on held-out synthetic images", "tools/test.py", CONFIG, checkpoint, "--work-dir", args.work_dir,
        "--out", f"{args.work_dir}/result.json")

    metrics = json.loads((work_dir / "result.json").read_text())["metrics"]
    error, constant = (metrics[f"interhand/{name}_all_mm"] for name in ("MPJPE_rr_macro", "constant_pose_macro"))
    print(f"\nMPJPE all, macro: {error:.1f} mm; the best constant pose: {constant:.1f} mm; "
          f"{1 - error / constant:.0%} better")
    print(f"Done in {(time.monotonic() - start) / 60:.1f} minutes. All figures above are of SYNTHETIC hands.")
    print(f"Table and protocol  {args.work_dir}/result.json\nPictures:")
    for picture in sorted(work_dir.glob("*.png")) + sorted(work_dir.glob("*.jpg")):
        print(f"  {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
