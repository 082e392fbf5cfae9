"""When checkpoints are written and removed: never is there a moment without a whole one."""

import math
import uuid
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from dfmamba.engine.checkpoint_folder import BEST_PREFIX, POINTER
from dfmamba.engine.errors import ConfigError
from dfmamba.engine.loops import VALIDATED_AT
from dfmamba.engine.runner import TRAINING_ID, ReproducibleRunner
from dfmamba.io.atomic import remove_leftovers, write_atomically

KEPT = "kept_checkpoints"  # in the message hub: names of the files that this training has written, the oldest first


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """mmengine's `CheckpointHook` for a `ReproducibleRunner`, with its arguments.

    Every file is written beside its place, brought to the disk and renamed. Older ones are removed after that, and only
    those that this training wrote; the list of them is part of the checkpoint. The order after a validation is: the new
    best, removal of the one before, the training's state again, which then knows both the metrics and the best. A kill
    at any point leaves a state from which a resumed training does the same once more.
    """

    def before_train(self, runner: Any) -> None:
        """Take over what the checkpoint knew; clear away what killed processes left half written."""
        if not isinstance(runner, ReproducibleRunner):
            runner.logger.warning(
                f"{type(runner).__name__} writes checkpoints that a kill can destroy, and resumes "
                "with other random numbers. Build it with RUNNERS.build(config), or set "
                "runner_type = 'ReproducibleRunner'."
            )
        self.folder = Path(runner.work_dir)
        if self.out_dir is not None:
            self.folder = Path(self.out_dir) / Path(runner.work_dir).name
        hub = runner.message_hub
        hub.update_info(KEPT, [name for name in hub.get_info(KEPT, []) if _is_plain_name(name)])
        if not hub.get_info(TRAINING_ID, ""):
            ids = [uuid.uuid4().hex]
            broadcast_object_list(ids)
            hub.update_info(TRAINING_ID, ids[0])
        # The iteration that the last written state is of; a resumed training has such a state, too.
        self.saved_at = runner.iter if runner.iter and hub.get_info(KEPT) else -1
        if is_main_process() and self.folder.is_dir():
            remove_leftovers(self.folder, "*.pth")
            remove_leftovers(self.folder, POINTER)
        runner.logger.info(f"Checkpoints will be saved to {self.folder}.")

    def after_train_epoch(self, runner: Any) -> None:
        """Save where the interval says so, by epochs."""
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_epoch(runner))
        ):
            self._save_state(runner, runner.epoch + 1, runner.iter, self.filename_tmpl.format(runner.epoch + 1))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save where the interval says so, by iterations."""
        step = runner.iter + 1
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_iter(runner))
        ):
            self._save_state(runner, runner.epoch, step, self.filename_tmpl.format(step))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Let a signal end the training during a validation, too: a resumed one validates once more."""
        if isinstance(runner, ReproducibleRunner):
            runner.stop_if_asked(self._path_of_state(runner))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Save the best weights, and note in the training's state that it is validated."""
        runner.message_hub.update_info(VALIDATED_AT, runner.iter)
        if self.save_best and metrics:
            self._save_if_best(runner, metrics)
        if self.saved_at == runner.iter:
            self._save_state(runner, runner.epoch, runner.iter, runner.message_hub.get_info(KEPT)[-1])

    def save_interrupted(self, runner: Any) -> Path:
        """Save the state between two steps; the file is removed like an older one when its time has come."""
        if self._path_of_state(runner) is None:
            self._save_state(runner, runner.epoch, runner.iter, f"interrupted_iter_{runner.iter}.pth")
        return self.folder / runner.message_hub.get_info(KEPT)[-1]

    def _path_of_state(self, runner: Any) -> Path | None:
        """Return the file that holds the state of this iteration, if there is one."""
        path = self.folder / runner.message_hub.get_info(KEPT)[-1] if self.saved_at == runner.iter else None
        return path if path is not None and path.is_file() else None

    def _save_state(self, runner: Any, epoch: int, iteration: int, name: str) -> None:
        """Write the training's state, then point to it, then remove what is too old."""
        runner.logger.info(f"Saving checkpoint at {epoch} epochs, {iteration} iterations: {name}")
        hub = runner.message_hub
        kept = [other for other in hub.get_info(KEPT) if other != name] + [name]
        hub.update_info(KEPT, kept)  # with those that are removed below: a resumed training removes them again
        runner.save_checkpoint(
            str(self.folder),
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta={"epoch": epoch, "iter": iteration},
        )
        self.last_ckpt, self.saved_at = str(self.folder / name), iteration
        if is_main_process():
            write_atomically(Path(runner.work_dir) / POINTER, self.last_ckpt)
        regular = [other for other in kept if not other.startswith("interrupted_")]
        old = [other for other in kept[:-1] if other.startswith("interrupted_")]
        if self.max_keep_ckpts > 0:
            old += regular[: -self.max_keep_ckpts]
        hub.update_info(KEPT, [other for other in kept if other not in old])
        self._remove(old)

    def _save_if_best(self, runner: Any, metrics: dict[str, float]) -> None:
        """Write the weights under the name of each metric that they are the best in."""
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        hub, several = runner.message_hub, len(self.key_indicators) > 1
        for metric, rule in zip(self.key_indicators, self.rules, strict=True):
            suffix = f"_{metric}" if several else ""
            if metric not in metrics:
                raise ConfigError(
                    f"default_hooks.checkpoint.save_best: no metric '{metric}', the validation gives: "
                    f"{', '.join(metrics)}"
                )
            score, before = metrics[metric], hub.get_info(f"best_score{suffix}", self.init_value_map[rule])
            if score is None or not math.isfinite(score) or not self.is_better_than[metric](score, before):
                continue
            step = runner.epoch if self.by_epoch else runner.iter
            name = f"{BEST_PREFIX}{metric}_{self.filename_tmpl.format(step)}".replace("/", "_")
            previous = Path(hub.get_info(f"best_ckpt{suffix}", "")).name
            hub.update_info(f"best_score{suffix}", score)
            hub.update_info(f"best_ckpt{suffix}", str(self.folder / name))
            runner.save_checkpoint(
                str(self.folder),
                name,
                save_optimizer=False,
                save_param_scheduler=False,
                meta={"epoch": runner.epoch, "iter": runner.iter},
            )
            runner.logger.info(f"The best checkpoint with {score:0.4f} {metric} is saved to {name}.")
            if previous != name and previous.startswith(BEST_PREFIX):
                self._remove([previous])

    def _remove(self, names: list[str]) -> None:
        if is_main_process():
            for name in filter(_is_plain_name, names):
                (self.folder / name).unlink(missing_ok=True)


def _is_plain_name(name: Any) -> bool:
    """Whether a text of a checkpoint is the name of a checkpoint in its folder, and so may be removed."""
    return isinstance(name, str) and name.endswith(".pth") and Path(name).name == name
