"""Measure the reading of InterHand2.6M beside mmpose's `InterHand3DDataset`: opening, memory, samples a second.

It also measures how batches travel from a worker, collated by mmengine's `pseudo_collate` and by ours.

All on synthetic data: records without images for the annotation index, rendered images for loading and augmenting. Each
opening runs in a new process. The pipelines run in turn in one process on one core, and medians count, so that ratios
hold on a busy machine too; CPU time says what an idle machine would do. Writes benchmark_data.md and .json into --out.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads of OpenMP do not spin

import argparse
import json
import platform
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import cv2
import mmpose
import torch

from command_line import add_common_arguments, launch, whole_number
from dfmamba.benchmark.data_timing import measure_opening, measure_pipelines, measure_travel, measure_workers
from dfmamba.benchmark.processes import in_new_process
from dfmamba.io.outputs import check_output_folder
from dfmamba.synthesis.interhand26m import write_interhand26m
from dfmamba.synthesis.interhand26m_records import write_interhand26m_records

ROOT = Path(__file__).parents[1]
CONFIGS = {  # with the pipelines
    "dfmamba": ROOT / "configs/_base_/datasets/interhand26m.py",
    "mmpose": Path(mmpose.__file__).parent
    / ".mim/configs/hand_3d_keypoint/internet/interhand3d/internet_res50_4xb16-20e_interhand3d-256x256.py",
}
RECORDS_COMPARED, RECORDS_FULL = 100_000, 1_361_062  # the latter is the size of the real training split
READERS = ("no data", "dfmamba", "mmpose")


def measure_all(work, args):
    """Make the data and measure everything."""
    openings, loaders = [], []
    for records, readers in ((args.compared, READERS), (args.full, READERS[:2])):
        folder, cache = work / str(records), work / f"cache{records}"
        write_interhand26m_records(folder, records)
        for reader in readers[1:]:
            for title in ("first", *["later"] * (args.openings if reader == "dfmamba" else 1)):
                row = in_new_process(measure_opening, reader, folder, cache, args.reads)
                openings.append({"opening": title, **row})
                print(json.dumps(openings[-1]), flush=True)
        for reader in readers:
            loaders.append(in_new_process(measure_workers, reader, folder, cache, args.workers, args.reads, records))
            print(json.dumps(loaders[-1]), flush=True)
    write_interhand26m(work / "images", {"train": args.images}, seed=0)
    pipelines = in_new_process(measure_pipelines, CONFIGS, work / "images", work / "cache-images", args.rounds)
    travel = in_new_process(measure_travel, CONFIGS["dfmamba"], work / "images", work / "cache-images", args.rounds)
    return {"openings": openings, "loaders": loaders, "pipelines": pipelines, "travel": travel}


def describe_machine():
    """Return processor, load and versions in a line."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {len(names)} x {names[0] if names else '?'}, load "
        f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"mmpose {mmpose.__version__}, OpenCV {cv2.__version__}"
    )


def report(result):
    """Return the result as Markdown."""
    lines = [
        *result["machine"],
        "",
        "| reader | records | opening | s | CPU s | memory, MB | peak while opening, MB "
        "| memory after random reads, MB | samples/s |",
        "|---" * 9 + "|",
    ]
    for row in result["openings"]:
        lines.append(
            f"| {row['reader']} | {row['records']:,} | {row['opening']} | {row['seconds']:.3f} "
            f"| {row['cpu_seconds']:.3f} | {row['mb']:.1f} | {row['peak_mb']:.0f} | {row['mb_read']:.1f} "
            f"| {row['samples_per_s']:.0f} |"
        )
    lines += [
        "",
        "| reader | records | workers | private memory of a worker, MB | shares of all processes, MB | samples/s |",
        "|---" * 6 + "|",
    ]
    for row in result["loaders"]:
        lines.append(
            f"| {row['reader']} | {row['records']:,} | {row['workers']} | {row['worker_uss_mb']:.1f} "
            f"| {row['all_pss_mb']:.0f} | {row['samples_per_s']:.0f} |"
        )
    lines += ["", "| pipeline, 256x256, one core | samples/s | samples per second of CPU time |", "|---|---|---|"]
    lines += [
        f"| {row['pipeline']} | {row['samples_per_s']:.0f} | {row['samples_per_cpu_s']:.0f} |"
        for row in result["pipelines"]
    ]
    lines += [
        "",
        "| collate, 32 samples from one worker | ms a batch | CPU ms a batch of the receiving process |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['collate']} | {row['ms_per_batch']:.1f} | {row['receiving_cpu_ms_per_batch']:.1f} |"
        for row in result["travel"]
    ]
    return "\n".join(lines) + "\n"


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark_data"), help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of the generated data; kept (default: a temporary one)")
    parser.add_argument("--compared", type=whole_number(1), default=RECORDS_COMPARED, help="records read by both")
    parser.add_argument("--full", type=whole_number(1), default=RECORDS_FULL, help="records read by ours alone")
    parser.add_argument("--reads", type=whole_number(1), default=50_000, help="random reads")
    parser.add_argument("--openings", type=whole_number(0), default=3, help="later openings of ours")
    parser.add_argument("--workers", type=whole_number(1), default=8, help="forked workers")
    parser.add_argument("--images", type=whole_number(1), default=128, help="images to load and augment")
    parser.add_argument("--rounds", type=whole_number(1), default=9, help="rounds over the images")
    add_common_arguments(parser)
    return parser.parse_args()


def benchmark_data(args):
    """Measure and write the report."""
    check_output_folder("--out", args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    machine = [describe_machine()]
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        result = measure_all(work, args)
    result["machine"] = [f"Begin: {machine[0]}.", f"End: {describe_machine()}."]
    (args.out / "benchmark_data.json").write_text(json.dumps(result, indent=1))
    (args.out / "benchmark_data.md").write_text(report(result))
    print(report(result))


def main():
    """Run the tool."""
    args = parse_args()
    launch("benchmark_data", lambda: benchmark_data(args), args)


if __name__ == "__main__":
    main()
