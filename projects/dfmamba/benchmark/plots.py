"""Speeds of models and of the DSSM operator as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfmamba.benchmark.model_timing import Row


def draw_speeds(rows: Sequence[Row], path: Path) -> None:
    """Draw images a second against parameters, one panel for each number of threads and batch size."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(row.threads, row.batch) for row in rows})
    models = {name: f"C{number}" for number, name in enumerate(dict.fromkeys(row.model for row in rows))}
    kinds = dict(zip(dict.fromkeys(f"{row.runtime}, {row.dtype}" for row in rows), "os^Dv<>p*hXP", strict=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels) + 2.5, 4.4), squeeze=False, layout="constrained"
    )
    for panel, axis in zip(panels, axes[0], strict=True):
        for row in rows:
            if (row.threads, row.batch) == panel:
                axis.plot(
                    row.parameters_m,
                    row.images_per_s,
                    color=models[row.model],
                    linestyle="none",
                    marker=kinds[f"{row.runtime}, {row.dtype}"],
                    alpha=0.8,
                )
        axis.set(xlabel="parameters (M)", ylabel="images / s", title=f"{panel[0]} threads, batch {panel[1]}")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    handles = [mpl.lines.Line2D([], [], color=colour, linewidth=4, label=name) for name, colour in models.items()]
    handles += [
        mpl.lines.Line2D([], [], color="black", linestyle="none", marker=marker, label=kind)
        for kind, marker in kinds.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)


def draw_operator_times(
    rows: Sequence[Mapping[str, Any]], tokens: Mapping[int, tuple[float, float]], path: Path
) -> None:
    """Draw the times of batch 1 and the cost against tokens."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (bars, line) = plt.subplots(1, 2, figsize=(12, 4.5))
    first = [row for row in rows if row["batch"] == rows[0]["batch"]]
    shapes = list(dict.fromkeys(row["shape"] for row in first))
    names = list(dict.fromkeys(row["candidate"] for row in first))
    for index, name in enumerate(names):
        height = [row["forward_ms"] for row in first if row["candidate"] == name]
        bars.bar(np.arange(len(shapes)) + 0.8 * index / len(names), height, 0.8 / len(names), label=name)
    bars.set(yscale="log", ylabel="forward, ms", title=f"DSSM, batch {rows[0]['batch']}")
    bars.set_xticks(np.arange(len(shapes)) + 0.3, shapes, rotation=20, fontsize=8)
    bars.legend()
    for index, label in enumerate(("forward", "forward + backward")):
        line.loglog(list(tokens), [1e3 * tokens[count][index] for count in tokens], "o-", label=label)
    line.set(xlabel="tokens", ylabel="ms", title="native, 64 channels, N 16, batch 1")
    line.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
