"""Trained models against each other on one test set: mean errors with intervals, thirds by hidden joints, conclusions.

Used by `tools/compare.py`. A ground truth here is a dict: `ids` of the N samples, `joints` (N, 42, 3) in mm, `valid`
(N, 42), `sequence` (N,), numbers from 0.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.confidence import Interval, bootstrap, interval_over_seeds, sum_by_sequence
from dfmamba.evaluation.functional import joint_errors, root_align
from dfmamba.evaluation.occlusion import hidden_share
from dfmamba.evaluation.protocol import JointTable, constant_pose_errors
from dfmamba.skeleton import TWO_HANDS

THIRDS = ("fewest hidden joints", "middle", "most hidden joints")


def occlusion_thirds(gt: Mapping[str, NDArray[Any]]) -> list[tuple[NDArray[np.int64], float]]:
    """Return the rows and the mean share of hidden joints of each third of the test images, fewest hidden first."""
    share = hidden_share(gt["joints"], gt["valid"], TWO_HANDS)
    order = np.argsort(share, kind="stable")
    return [(rows, float(np.nanmean(share[rows]))) for rows in np.array_split(order, len(THIRDS))]


def joint_errors_mm(predictions: JointTable, gt: Mapping[str, Any]) -> NDArray[np.floating]:
    """Return the errors of one run, (N, 42) in mm, relative to the wrist of the joint's own hand.

    Args:
        predictions: All samples of the ground truth, in any order.
        gt: See the module's text.
    """
    row = {sample: number for number, sample in enumerate(predictions.ids)}
    pred = predictions.joints_mm[[row[sample] for sample in gt["ids"]]]
    return joint_errors(root_align(pred, TWO_HANDS.root_of_joint), root_align(gt["joints"], TWO_HANDS.root_of_joint))


def constant_pose_mm(gt: Mapping[str, NDArray[Any]]) -> float:
    """Return the mean root-relative error in mm of the best pose that does not look at the images.

    Args:
        gt: See the module's text.
    """
    errors = constant_pose_errors(gt["joints"], gt["valid"])
    return float(errors.values_mm[errors.valid].mean())


def summarise(
    names: Sequence[str],
    errors: Mapping[str, NDArray[np.floating]],
    valid: NDArray[np.bool_],
    gt: Mapping[str, NDArray[Any]],
) -> list[dict[str, Any]]:
    """Return a row of the report for each config.

    Args:
        names: Of the configs; differences are to the first one.
        errors: By name, (seeds, N, 42) in mm.
        valid: Which of them count, (N, 42).
        gt: See the module's text.
    """
    count = int(gt["sequence"].max()) + 1
    thirds = occlusion_thirds(gt)
    sums = {name: sum_by_sequence(errors[name], valid, gt["sequence"], count) for name in names}
    table = []
    for name in names:
        by_seed = np.where(valid, errors[name], 0).sum(axis=(1, 2)) / valid.sum()
        row: dict[str, Any] = {
            "config": name,
            "by_seed_mm": by_seed.tolist(),
            "over_seeds": interval_over_seeds(by_seed),
            "over_seeds_and_sequences": bootstrap(sums[name]),
        }
        row["occlusion_thirds"] = [
            {
                "third": third,
                "images": len(rows),
                "hidden_share": share,
                "interval": bootstrap(sum_by_sequence(errors[name][:, rows], valid[rows], gt["sequence"][rows], count)),
            }
            for third, (rows, share) in zip(THIRDS, thirds, strict=True)
        ]
        if name != names[0]:
            row["difference"] = bootstrap(sums[name], sums[names[0]])
        table.append(row)
    return table


def conclusion(row: Mapping[str, Any], first: str) -> str:
    """Say what the interval of the difference to the first config shows; of one seed it does not know other seeds."""
    if "difference" not in row:
        return "-"
    _, low, high = row["difference"]
    shown = f"worse than {first}" if low > 0 else f"better than {first}" if high < 0 else "no difference shown"
    return shown if len(row["by_seed_mm"]) > 1 else f"{shown}, one seed only"


def as_markdown(table: Sequence[Mapping[str, Any]], header: str) -> str:
    """Return the report.

    Args:
        table: What `summarise` gives, with `parameters_m`, `multiply_adds_g`, `training_s` and maybe `deformation` in
            each row.
        header: What was compared.
    """
    first = table[0]["config"]

    def show(interval: Interval) -> str:
        mean, low, high = interval
        return f"{mean:.2f} (one seed)" if isnan(low) else f"{mean:.2f} ({low:.2f} to {high:.2f})"

    lines = [
        header,
        "",
        "| config | params M | mult-adds G | training s | MPJPE mm (95 % over seeds) "
        f"| (95 % over seeds and sequences) | minus {first} | conclusion |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['config']} | {row['parameters_m']:.2f} | {row['multiply_adds_g']:.4f} | {row['training_s']:.0f} "
        f"| {show(row['over_seeds'])} | {show(row['over_seeds_and_sequences'])} "
        f"| {show(row['difference']) if 'difference' in row else '-'} | {conclusion(row, first)} |"
        for row in table
    ]
    thirds = table[0]["occlusion_thirds"]
    lines += [
        "",
        "By share of hidden joints, thirds of the test images, MPJPE mm (95 % over seeds and sequences):",
        "",
        "| config | " + " | ".join(f"{third['third']} ({third['hidden_share']:.0%} hidden)" for third in thirds) + " |",
        "|---" * (len(thirds) + 1) + "|",
    ]
    for row in table:
        intervals = [show(third["interval"]) for third in row["occlusion_thirds"]]
        lines.append(f"| {' | '.join([row['config'], *intervals])} |")
    return "\n".join([*lines, *_deformation_lines(table)]) + "\n"


def _deformation_lines(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of what `comparison_runs.read_deformation` found, if anything."""
    rows = [
        f"| {row['config']} | {layer} | {values['height']}x{values['width']} | {values['mean_offset_px']:.2f} "
        f"| {values['largest_offset_px']:.1f} | {values['off_the_map']:.0%} ({values['off_the_undeformed_map']:.0%}) "
        f"| {values['center_weight']:.2f} | {values['other_weight']:.2f} |"
        for row in table
        for layer, values in row.get("deformation", {}).items()
    ]
    if not rows:
        return []
    return [
        "",
        "Deformation at the end of training, mean over the seeds. Offsets in pixels of the layer's map; points off the "
        "map, in brackets without deformation; absolute weight of a token's middle anchor, and of its others together:",
        "",
        "| config | layer | map | mean offset | largest | off the map | middle | others |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]
