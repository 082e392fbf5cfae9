"""Errors of several models with their confidence intervals, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfmamba.evaluation.comparison import THIRDS


def draw_intervals(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Draw what `comparison.summarise` gives: each config's error with its interval, for all images and each third."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.9 * len(table)))
    for number, row in enumerate(table):
        intervals = [row["over_seeds_and_sequences"], *(third["interval"] for third in row["occlusion_thirds"])]
        for place, (interval, colour) in enumerate(
            zip(intervals, ["black", "tab:green", "tab:orange", "tab:red"], strict=True)
        ):
            mean, low, high = interval
            axis.errorbar(
                mean,
                -number - 0.17 * place,
                xerr=[[mean - low], [high - mean]],
                fmt="o",
                color=colour,
                capsize=3,
                label=["all images", *THIRDS][place] if number == 0 else None,
            )
    axis.set_yticks([-number - 0.25 for number in range(len(table))], [row["config"] for row in table])
    axis.set(xlabel="MPJPE, root-relative, mm, SYNTHETIC hands (95 % over seeds and sequences)")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=120)
