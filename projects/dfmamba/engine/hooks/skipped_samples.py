"""One line after each epoch that says how many samples could not be loaded: nothing is left out in silence."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.skipped_samples import describe_skipped
from dfmamba.engine.inner_datasets import inner_datasets

KEY = "skipped_samples"  # in the message hub, hence in checkpoints; no name of a loop in front, mmengine would log it


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Log the samples that were left out while loading, by reason, over all workers and processes.

    What is counted is samples of the data set that were left out at least once since the training began (also before
    it was resumed), not tries to load them: neither epochs nor repetitions change it. There is a line after each epoch
    of training, validation or test that has left out something, and in any case at the end of a training.

    Checkpoints hold it as `message_hub.runtime_info['skipped_samples']`, one entry for each data set of this package
    inside `ConcatDataset` and the like: `num_samples`, `skipped` (reason to number), the data's `fingerprint` and the
    `rows`, which a resumed training marks again if the fingerprint is the same.

    Attributes:
        of_checkpoint: The entries of the checkpoint that was loaded last.
    """

    def __init__(self) -> None:
        self.of_checkpoint: list[dict[str, Any]] = []
        self._training: list[HandDataset] = []

    def before_train(self, runner) -> None:
        """Mark what a resumed training had left out before."""
        self._training = _parts(runner.train_dataloader)
        for part, before in zip(self._training, _entries(runner.message_hub.get_info(KEY, [])), strict=False):
            if before["fingerprint"] == part.metainfo["data_source"]["fingerprint"]:
                part.skipped_samples.restore(before["rows"])
        runner.message_hub.update_info(KEY, _describe(self._training))

    def after_train_epoch(self, runner) -> None:
        """Log what was left out so far; collective."""
        self._report(runner, "training", self._training, always=False)
        runner.message_hub.update_info(KEY, _describe(self._training))

    def after_train(self, runner) -> None:
        """Log what was left out in all; collective."""
        self._report(runner, "the whole training", self._training, always=True)
        runner.message_hub.update_info(KEY, _describe(self._training))

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Log what was left out of the validation; collective."""
        self._report(runner, "validation", _parts(runner.val_dataloader), always=False)

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Log what was left out of the test; collective."""
        self._report(runner, "test", _parts(runner.test_dataloader), always=False)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save what this process has left out in the middle of an epoch, too."""
        if self._training:
            checkpoint["message_hub"]["runtime_info"][KEY] = _describe(self._training)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep what the training of this checkpoint left out, for the result of a test."""
        hub = checkpoint.get("message_hub")
        self.of_checkpoint = _entries(hub.get("runtime_info", {}).get(KEY) if isinstance(hub, Mapping) else None)

    def _report(self, runner, what: str, parts: list[HandDataset], always: bool) -> None:
        """Join the marks of all processes and log one line."""
        counts: dict[str, int] = {}
        for part in parts:
            if get_world_size() > 1:
                marks = part.skipped_samples.marks.clone()
                all_reduce(marks, "max")
                part.skipped_samples.merge(marks)
            for reason, count in part.count_skipped_samples().items():
                counts[reason] = counts.get(reason, 0) + count
        if counts or (parts and always):
            counts = dict(sorted(counts.items(), key=lambda item: -item[1]))
            runner.logger.info(f"{what}: {describe_skipped(sum(map(len, parts)), counts)}")


def _parts(dataloader: Any) -> list[HandDataset]:
    return [part for part in inner_datasets(dataloader.dataset) if isinstance(part, HandDataset)]


def _entries(value: Any) -> list[dict[str, Any]]:
    """Return those of `_describe`; of others' checkpoints none."""
    entries = value if isinstance(value, list) else []
    keys = {"num_samples", "skipped", "fingerprint", "rows"}
    return [entry for entry in entries if isinstance(entry, dict) and keys <= set(entry)]


def _describe(parts: list[HandDataset]) -> list[dict[str, Any]]:
    """Return what goes into the message hub, in plain Python."""
    return [
        {
            "num_samples": len(part),
            "skipped": part.count_skipped_samples(),
            "fingerprint": part.metainfo["data_source"]["fingerprint"],
            "rows": part.skipped_samples.rows_by_reason(),
        }
        for part in parts
    ]
