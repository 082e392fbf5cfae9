"""Training loops that go on exactly where a checkpoint was written, in the middle of an epoch too."""

from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.reproducible import seed_random_numbers, seeded_loader

VALIDATED_AT = "last_validation_iter"  # in the message hub: how many steps the last finished validation came after


def skip_batches(dataloader: DataLoader, count: int) -> None:
    """Make the next pass over a loader begin after a number of batches, without loading them.

    Raises:
        ConfigError: The batches are made by a batch sampler of another kind than torch's own.
    """
    if type(dataloader.batch_sampler) is not BatchSampler:
        raise ConfigError(
            f"train_dataloader.batch_sampler: {type(dataloader.batch_sampler).__name__} cannot begin in "
            "the middle of an epoch. Resume from a checkpoint of an epoch's end."
        )
    dataloader.sampler.skip(count * dataloader.batch_sampler.batch_size)  # type: ignore[attr-defined]


class _ExactSteps:
    """What both loops share: a seeded data loader, seeded steps, validations that are made up for."""

    def __init__(self, runner: Any, dataloader: dict, **kwargs: Any) -> None:
        super().__init__(runner, seeded_loader(dataloader, runner.seed), **kwargs)  # type: ignore[call-arg]

    def _seed(self, what: str) -> None:
        runner: Any = self.runner  # type: ignore[attr-defined]
        seed_random_numbers(what, runner.seed, runner.rank, self._iter)  # type: ignore[attr-defined]

    def _validate(self) -> None:
        self._seed("validation")
        self.runner.val_loop.run()  # type: ignore[attr-defined]

    def _was_validated(self) -> bool:
        return self.runner.message_hub.get_info(VALIDATED_AT, -1) == self._iter  # type: ignore[attr-defined]


@LOOPS.register_module()
class ExactEpochLoop(_ExactSteps, EpochBasedTrainLoop):
    """mmengine's loop by epochs, which resumes exactly.

    Args:
        runner: A `ReproducibleRunner`.
        dataloader: Config of the data loader.
        **kwargs: See mmengine's `EpochBasedTrainLoop`.
    """

    def run(self) -> Any:
        """Train; first make up for a validation that the checkpoint does not know of."""
        self.runner.call_hook("before_train")
        self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self.runner.stop_if_asked()
            self._validate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    @property
    def batches_done(self) -> int:
        """How many batches of the current epoch are trained on."""
        return self._iter - self._epoch * len(self.dataloader)

    def run_epoch(self) -> None:
        """Train an epoch, or what is left of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self.batches_done
        if first:
            skip_batches(self.dataloader, first)
        for idx, data_batch in enumerate(self.dataloader, first):
            self._seed("step")
            self.run_iter(idx, data_batch)
            if idx + 1 < len(self.dataloader):
                self.runner.stop_if_asked()
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = (
            self._epoch >= max(self.val_begin, 1)
            and self.batches_done == 0
            and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
        )
        if self.runner.val_loop is not None and due and not self._was_validated():
            self._validate()


@LOOPS.register_module()
class ExactIterLoop(_ExactSteps, IterBasedTrainLoop):
    """mmengine's loop by iterations, which resumes exactly.

    Args:
        runner: A `ReproducibleRunner`.
        dataloader: Config of the data loader.
        **kwargs: See mmengine's `IterBasedTrainLoop`.
    """

    def run(self) -> Any:
        """Train; first make up for a validation that the checkpoint does not know of."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self._skip_trained()
        self._validate_if_due()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            data_batch = next(self.dataloader_iterator)
            self._seed("step")
            self.run_iter(data_batch)
            self.runner.stop_if_asked()
            self._validate_if_due()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _skip_trained(self) -> None:
        """Go to where the data stood; a sampler that ends has been started again after each pass."""
        if self._iter == 0:
            return
        sampler = self.dataloader.sampler
        endless = getattr(sampler, "is_endless", False)
        passes, batches = (0, self._iter) if endless else divmod(self._iter, len(self.dataloader))
        skip_batches(self.dataloader, batches)
        self.dataloader_iterator._epoch = passes
        sampler.set_epoch(passes)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._iter >= max(self.val_begin, 1) and (
            self._iter % self.val_interval == 0 or self._iter == self._max_iters
        )
        if self.runner.val_loop is not None and due and not self._was_validated():
            self._validate()
