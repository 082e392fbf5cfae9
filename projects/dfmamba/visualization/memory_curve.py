"""The memory of a training over its steps, as a picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_memory(path: Path, steps: np.ndarray, training: np.ndarray, workers: np.ndarray) -> None:
    """Draw the memory of a training and of its workers, in MiB, over its steps, each (N,); write a PNG."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, training, label="training")
    axes.plot(steps, workers, label="its workers")
    axes.set(xlabel="step", ylabel="memory of its own, MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=110)
