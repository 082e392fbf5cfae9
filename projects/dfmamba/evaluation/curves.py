"""The curves of a protocol as a picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dfmamba.evaluation.protocol import Curve

SIZE_INCHES, DPI = (7.0, 4.5), 150
LINE_STYLES = ("-", "--", ":", "-.")


def draw_curves(path: Path, curves: Mapping[str, Mapping[str, Curve]], title: str) -> None:
    """Draw all curves of one or more results on one picture.

    Several results: colour by result, line style by kind of curve. One result: both by kind of curve.

    Args:
        path: The picture, `.png`, `.pdf` or `.svg`; missing folders are made.
        curves: Name of the result to label to curve. Curves without a number are left out.
        title: Above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: it takes a second, and only pictures need it
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (result, by_label) in enumerate(curves.items()):
        for kind, (label, curve) in enumerate(by_label.items()):
            if np.isfinite(curve.fraction).any():
                axes.plot(
                    curve.thresholds_mm,
                    100 * curve.fraction,
                    linestyle=LINE_STYLES[kind % len(LINE_STYLES)],
                    color=f"C{number if len(curves) > 1 else kind}",
                    label=f"{result}: {label}" if len(curves) > 1 else label,
                )
    thresholds = np.concatenate([curve.thresholds_mm for by_label in curves.values() for curve in by_label.values()])
    axes.set(
        title=title,
        xlabel="threshold (mm)",
        ylabel="within the threshold (%)",
        ylim=(0, 102),
        xlim=(thresholds.min(), thresholds.max()),
    )
    axes.grid(visible=True, alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small", loc="best")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
