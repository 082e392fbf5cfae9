"""Errors of several models, and their differences, with confidence intervals as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfmamba.evaluation.comparison import THIRDS

COLOURS = ("black", "tab:green", "tab:orange", "tab:red")  # all images, then the thirds


def draw_intervals(path: Path, table: Sequence[Mapping[str, Any]], constant_pose_mm: float) -> None:
    """Draw what `comparison.summarise` gives: on the left errors, on the right paired differences to the first config.

    Left: each config's error with its interval, for all images and each third; dashed is the best constant pose. Right:
    one row a comparison; an interval that does not meet the line at zero shows a difference.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (errors, differences) = plt.subplots(
        1, 2, figsize=(12, 1.4 + 0.9 * len(table)), sharey=True, width_ratios=(3, 2)
    )
    for number, row in enumerate(table):
        intervals = [row["over_seeds_and_sequences"], *(third["interval"] for third in row["occlusion_thirds"])]
        labels = ["all images", *THIRDS] if number == 0 else [""] * len(intervals)
        for place, (interval, colour, label) in enumerate(zip(intervals, COLOURS, labels, strict=True)):
            _draw(errors, interval, -number - 0.17 * place, colour, label)
        if "difference" in row:
            _draw(differences, row["difference"], -number - 0.25, COLOURS[0])
    errors.axvline(constant_pose_mm, color="grey", linestyle="--", label="best constant pose, all images")
    differences.axvline(0, color="grey", linestyle="--")
    errors.set_yticks([-number - 0.25 for number in range(len(table))], [row["config"] for row in table])
    errors.set_xlabel("MPJPE, root-relative, mm, SYNTHETIC hands")
    differences.set_xlabel(f"minus {table[0]['config']}, all images, mm")
    figure.suptitle("95 % over seeds and sequences", fontsize=9)
    errors.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw(axis: Any, interval: Sequence[float], height: float, colour: str, label: str = "") -> None:
    """Draw a mean with its interval as one row."""
    mean, low, high = interval
    axis.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, label=label)
