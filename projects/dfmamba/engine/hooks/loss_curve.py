"""A picture of the losses and of the validation error, renewed after the epochs."""

import time
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from dfmamba.visualization.loss_curves import History, save_loss_curves

MIN_PAUSE_S = 10.0  # drawing takes half a second, which is long beside a short epoch
VALIDATION_STEPS = "steps_of_validation"  # not "val...": mmengine would repeat it in its log lines


@HOOKS.register_module()
class LossCurveHook(Hook):
    """Write `loss_curve.png` in the work folder: loss terms over iterations and, below them, the validation metric.

    It is renewed after epochs and validations, at most every ten seconds, and at the end.

    The values are those that mmengine keeps in its message hub, so a resumed run shows its past, too.

    Args:
        filename: Name of the picture in the work folder.
        metric: Validation metric to show, such as `interhand/MPJPE_rr_macro_all_mm`. None: the one that the checkpoint
            hook saves the best by, else the first scalar one.
    """

    priority = "VERY_LOW"

    def __init__(self, filename: str = "loss_curve.png", metric: str | None = None):
        self.filename = filename
        self.metric = metric
        self.next_s = 0.0  # when the picture may be renewed, on the monotonic clock

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Note at which iteration the validation took place (kept in checkpoints with the values)."""
        hub = runner.message_hub
        step = hub.get_info("iter") if "iter" in hub.runtime_info else 0
        hub.update_info(VALIDATION_STEPS, [*hub.get_info(VALIDATION_STEPS, []), step + 1])
        self._draw_after_pause(runner)

    def after_train_epoch(self, runner) -> None:
        """Renew the picture."""
        self._draw_after_pause(runner)

    def after_train(self, runner) -> None:
        """Renew the picture for the last time."""
        self._draw(runner)

    def _draw_after_pause(self, runner) -> None:
        if time.monotonic() >= self.next_s:
            self._draw(runner)
            self.next_s = time.monotonic() + MIN_PAUSE_S

    @master_only
    def _draw(self, runner) -> None:
        scalars = runner.message_hub.log_scalars
        losses = []
        for name, buffer in scalars.items():
            values = np.asarray(buffer.data[0], dtype=np.float64)
            if name.startswith("train/") and "loss" in name and len(values):
                losses.append(History(name.removeprefix("train/"), np.arange(1, len(values) + 1), values))
        if losses:
            save_loss_curves(Path(runner.work_dir) / self.filename, losses, self._validation(runner, scalars))

    def _validation(self, runner, scalars) -> History | None:
        names = [name.removeprefix("val/") for name in scalars if name.startswith("val/") and not name.endswith("time")]
        best_by = [hook.key_indicators[0] for hook in runner.hooks if getattr(hook, "key_indicators", None)]
        name = next((name for name in [self.metric, *best_by, *names] if name in names), None)
        if name is None:
            return None
        values = np.asarray(scalars[f"val/{name}"].data[0], dtype=np.float64)
        steps = np.asarray(runner.message_hub.get_info(VALIDATION_STEPS, []))
        count = min(len(values), len(steps))
        return History(name, steps[len(steps) - count :], values[len(values) - count :]) if count else None
