"""A live progress bar on a terminal; elsewhere mmengine's log lines, which show the time left, are enough."""

import atexit
import logging
import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show epoch, iteration, loss and time left while training, and a bar each for validation and test.

    Args:
        enabled: None shows the bar when standard output is a terminal; True or False decide it.
    """

    def __init__(self, enabled: bool | None = None):
        self.enabled = enabled
        self.progress: Progress | None = None
        self._redirected: list[logging.StreamHandler] = []

    def before_train(self, runner) -> None:
        """Begin the bar of the whole training."""
        self._start(runner)
        if self.progress:
            self._train_task = self.progress.add_task("train", total=runner.max_iters, completed=runner.iter, note="")

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Move the bar by one iteration."""
        if not self.progress:
            return
        epoch = f"epoch {runner.epoch + 1}/{runner.max_epochs}" if runner.max_epochs else ""
        loss = f"loss {outputs['loss'].item():.4g}" if outputs and "loss" in outputs else ""
        self.progress.update(self._train_task, completed=runner.iter + 1, note=f"{epoch}  {loss}")

    def after_train(self, runner) -> None:
        """End the display."""
        self._stop()

    def before_val(self, runner) -> None:
        """Begin the bar of one validation, below that of the training."""
        self._begin_pass(runner, "validate", runner.val_dataloader)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Move the bar by one batch."""
        self._advance_pass(batch_idx)

    def after_val(self, runner) -> None:
        """Take the validation's bar away."""
        self._end_pass()

    def before_test(self, runner) -> None:
        """Begin the bar of the test."""
        self._begin_pass(runner, "test", runner.test_dataloader)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Move the bar by one batch."""
        self._advance_pass(batch_idx)

    def after_test(self, runner) -> None:
        """End the display."""
        self._end_pass()

    def after_run(self, runner) -> None:
        """End the display whatever was shown last."""
        self._stop()

    def _begin_pass(self, runner, name: str, dataloader) -> None:
        self._started_here = self.progress is None
        self._start(runner)
        if self.progress:
            self._pass_task = self.progress.add_task(name, total=len(dataloader), note="")

    def _advance_pass(self, batch_idx: int) -> None:
        if self.progress:
            self.progress.update(self._pass_task, completed=batch_idx + 1)

    def _end_pass(self) -> None:
        if self.progress:
            self.progress.remove_task(self._pass_task)
        if self._started_here:
            self._stop()

    def _start(self, runner) -> None:
        enabled = sys.stdout.isatty() if self.enabled is None else self.enabled
        if self.progress or not enabled or not is_main_process():
            return
        console = Console(file=sys.stdout)
        self.progress = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        # Log lines must go through the live display, or they would land in the middle of the bar.
        for handler in runner.logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
                handler.setStream(FileProxy(console, handler.stream))
                self._redirected.append(handler)
        atexit.register(self._stop)  # after an error the terminal gets its cursor back
        self.progress.start()

    def _stop(self) -> None:
        if self.progress is None:
            return
        self.progress.stop()
        self.progress = None
        for handler in self._redirected:
            handler.setStream(handler.stream.rich_proxied_file)
        self._redirected.clear()
        atexit.unregister(self._stop)
