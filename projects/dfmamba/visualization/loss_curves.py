"""Loss curves as a PNG."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

MAX_POINTS = 2000
SMOOTHING_WINDOWS = 50


@dataclass(frozen=True)
class History:
    """A scalar of a training over time: `steps` (N,) iterations counted from 1, `values` (N,)."""

    name: str
    steps: np.ndarray
    values: np.ndarray


def save_loss_curves(path: Path, losses: list[History], validation: History | None = None) -> None:
    """Draw loss terms over iterations and, in a second panel, the validation metric; write a PNG.

    Each loss is shown pale, and in full colour as a running mean over a fiftieth of the run. The axis is logarithmic
    when all losses are positive.

    Args:
        path: The picture; its folder must exist.
        losses: One curve a loss term.
        validation: The metric after each validation; its name, with the unit, becomes the axis label.
    """
    figure = Figure(figsize=(9, 7 if validation else 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3, 2] if validation else [1]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    _draw_losses(axes[0, 0], losses)
    if validation:
        _draw_validation(axes[1, 0], validation)
    axes[-1, 0].set_xlabel("iteration")
    figure.savefig(path)


def _draw_losses(axis: Axes, losses: list[History]) -> None:
    for curve in losses:
        steps, values = _thin(curve.steps), _thin(curve.values)
        is_total = curve.name == "loss"
        label = f"{curve.name} (sum)" if is_total and len(losses) > 1 else curve.name
        (line,) = axis.plot(
            steps,
            _running_mean(values),
            color="black" if is_total else None,
            linewidth=2.0 if is_total else 1.5,
            zorder=3 if is_total else 2,
            marker="o" if len(values) == 1 else None,
            label=label,
        )
        axis.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8, zorder=1)
    finite = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in losses])
    if finite.size and (finite > 0).all():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel("training loss")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize="small", ncols=2)


def _draw_validation(axis: Axes, curve: History) -> None:
    axis.plot(curve.steps, curve.values, color="tab:red", marker="o", markersize=4)
    if np.isfinite(curve.values).any():
        axis.annotate(
            f"{curve.values[-1]:.4g}",
            (curve.steps[-1], curve.values[-1]),
            textcoords="offset points",
            xytext=(4, 10),
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axis.set_ylabel(curve.name.replace("/", "\n"))
    axis.margins(y=0.2)
    axis.grid(alpha=0.3)


def _thin(values: np.ndarray) -> np.ndarray:
    """Return at most `MAX_POINTS` means of neighbouring values."""
    group = -(-len(values) // MAX_POINTS)
    starts = np.arange(0, len(values), group)
    return np.add.reduceat(values.astype(np.float64), starts) / np.diff(np.append(starts, len(values)))


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each value and those before it, over a fiftieth of all."""
    window = max(1, len(values) // SMOOTHING_WINDOWS)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
