"""mmengine's runner with checkpoints that cannot be lost and trainings that resume exactly.

Its differences: a checkpoint is opened without running code and written whole or not at all; what does not fit is
refused before anything is touched; random numbers follow the place in the training; SIGTERM and SIGINT save first.
"""

import io
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from torch.utils.data import DataLoader

from dfmamba.engine.checkpoint_folder import newest_checkpoint
from dfmamba.engine.errors import ConfigError
from dfmamba.engine.interruption import StopRequest, TrainingStopped
from dfmamba.engine.loops import ExactEpochLoop, ExactIterLoop
from dfmamba.engine.param_groups import MergedGroups, group_sizes
from dfmamba.engine.plain_values import from_plain, map_nested, to_plain
from dfmamba.engine.reproducible import end_workers_at_exit
from dfmamba.engine.settings import describe_changes, settings_of
from dfmamba.engine.weights import load_weights, refuse_non_finite
from dfmamba.io.atomic import write_atomically

TRAINING_ID = "training_id"  # in the message hub: the same for all checkpoints of a training, resumed or not


@RUNNERS.register_module()
class ReproducibleRunner(Runner):
    """mmengine's `Runner`; see the module's text for what differs. Arguments are the same."""

    _stop_request: StopRequest | None = None
    _weights_must_fit = False
    _has_loaded: bool
    _merged_groups: MergedGroups | None = None

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper | OptimWrapperDict:
        """Build the optimizer wrapper, parameters of the same settings in one group; see `Runner`."""
        built = super().build_optim_wrapper(optim_wrapper)
        if built is not optim_wrapper:
            self._merged_groups = MergedGroups(built)
        return built

    def build_train_loop(self, loop: Any) -> Any:
        """Build a loop that resumes exactly; see `Runner`."""
        if isinstance(loop, dict) and "type" not in loop and "by_epoch" in loop:
            loop = dict(loop)
            loop["type"] = ExactEpochLoop if loop.pop("by_epoch") else ExactIterLoop
        return super().build_train_loop(loop)

    @staticmethod
    def build_dataloader(dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """Build a data loader whose workers leave signals to the training; see `Runner`.

        Unless the config says otherwise, its batches travel in one piece (`one_piece_collate`), and where there is a
        GPU they lie in pinned memory: they are copied to the GPU while it computes.
        """
        if not isinstance(dataloader, dict):
            return Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        pinned = {"pin_memory": True} if torch.cuda.is_available() else {}
        dataloader = {"collate_fn": {"type": "one_piece_collate"}, **pinned, **dataloader}
        if "worker_init_fn" not in dataloader:
            quiet = dataloader.get("disable_subprocess_warning", False)
            start = {
                "type": "start_worker",
                "num_workers": dataloader.get("num_workers", 0),
                "rank": get_rank(),
                "seed": seed or 0,
                "disable_subprocess_warning": quiet,
            }
            dataloader = {key: value for key, value in dataloader.items() if key != "disable_subprocess_warning"}
            dataloader["worker_init_fn"] = start
            end_workers_at_exit()
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def train(self) -> nn.Module:
        """Train; see `Runner`.

        Raises:
            ConfigError: The checkpoint to go on from does not fit.
            TrainingStopped: A signal asked for it; the state is saved.
        """
        with StopRequest() as self._stop_request:
            return super().train()

    def test(self) -> dict:
        """Test; every weight must come from the checkpoint. See `Runner`."""
        self._weights_must_fit = True
        return super().test()

    def dump_config(self) -> None:
        """Write the config into the work folder, once it is clear that it fits a checkpoint to go on from."""
        if not self._resume or self._has_loaded:
            super().dump_config()

    def load_or_resume(self) -> None:
        """Load what `resume` and `load_from` name; see `Runner`.

        Raises:
            ConfigError: It is damaged, would run code, or does not fit.
        """
        if self._has_loaded:
            return
        source = self._load_from
        if self._resume and source is None:
            source = newest_checkpoint(self.work_dir)
            if source is None:
                self.logger.info(
                    f"no checkpoint in {self.work_dir} to go on from: the training starts from the beginning"
                )
        if source is not None and self._resume:
            self.resume(str(source))
        elif source is not None:
            self.load_checkpoint(str(source))
        if self._resume:
            self._has_loaded = True
            self.dump_config()

    def load_checkpoint(
        self, filename: str, map_location: Any = "cpu", strict: bool = False, revise_keys: Any = None
    ) -> dict:
        """Load the weights of a checkpoint and say what was loaded; see `load_weights`.

        Args:
            filename: Path or address.
            map_location: Where the tensors are loaded.
            strict: Every weight must fit.
            revise_keys: Not used; names are matched with and without the usual prefixes.

        Raises:
            ConfigError: See `open_checkpoint` and `load_weights`.
        """
        content = CheckpointLoader.load_checkpoint(filename, map_location)
        self.call_hook("after_load_checkpoint", checkpoint=content)
        fit = load_weights(self.model, content, filename, strict or self._weights_must_fit)
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}: {fit.describe()}")
        return content

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Go on from a checkpoint with everything that a training depends on.

        Args:
            filename: Path or address.
            resume_optimizer: Take the optimizer's state.
            resume_param_scheduler: Take the schedules' states.
            map_location: Where the tensors are loaded.

        Raises:
            ConfigError: The checkpoint is damaged, holds no state of a training, or belongs to another model, optimizer
                or number of processes.
        """
        content = CheckpointLoader.load_checkpoint(filename, map_location)
        if "optimizer" in content and self._merged_groups is not None:  # older versions did not merge
            content = {**content, "optimizer": self._merged_groups.of_state(content["optimizer"])}
        self._refuse_other_training(content, filename)
        self.call_hook("after_load_checkpoint", checkpoint=content)
        load_weights(self.model, content, filename, whole=True)
        meta, loop = content["meta"], self.train_loop
        try:
            self.message_hub.load_state_dict(from_plain(content["message_hub"]))
            self.message_hub.update_info("cfg", self.cfg.pretty_text)
            if resume_optimizer:
                self.optim_wrapper.load_state_dict(content["optimizer"])
            if resume_param_scheduler and self.param_schedulers is not None:
                self._load_schedules(content["param_schedulers"])
            _load_gradients(self._bare_model, content.get("gradients", {}))
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
            raise ConfigError(
                f"{filename}: its state does not fit this training: {type(error).__name__}: {error}"
            ) from error
        if meta.get("seed") is not None:
            self._randomness_cfg.update(seed=meta["seed"])
            self.set_randomness(**self._randomness_cfg)
        loop._epoch, loop._iter = meta["epoch"], meta["iter"]
        self._has_loaded = True
        self.logger.info(f"resumed epoch: {self.epoch}, iter: {self.iter} from {filename}")
        for line in describe_changes(meta.get("settings", {}), settings_of(self.cfg)):
            self.logger.warning(f"a setting has changed: {line}")
        if self.iter >= self.max_iters:
            self.logger.warning(
                f"nothing is left to train: {filename} is at iteration {self.iter} of {self.max_iters}."
                " To train longer, set train_cfg.max_epochs (or max_iters) higher."
            )

    @property
    def _bare_model(self) -> nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model

    def _refuse_other_training(self, content: dict, filename: str) -> None:
        """Refuse a checkpoint that this training cannot go on from.

        Raises:
            ConfigError: It is one.
        """
        meta = content.get("meta")
        lacks = [
            key
            for key in ("state_dict", "optimizer", "param_schedulers", "message_hub")
            if key not in content and not (key == "param_schedulers" and self.param_schedulers is None)
        ]
        if lacks or not isinstance(meta, dict) or not all(isinstance(meta.get(key), int) for key in ("epoch", "iter")):
            what = ", ".join(lacks) or "meta.epoch, meta.iter"
            raise ConfigError(
                f"{filename}: cannot be resumed from, it lacks {what}."
                " To begin a new training with its weights, use --cfg-options load_from=..."
            )
        if meta.get("num_processes", get_world_size()) != get_world_size():
            raise ConfigError(
                f"{filename}: was written by {meta['num_processes']} processes, this training has "
                f"{get_world_size()}: its batches would be others. Start as many, or begin a new "
                "training with its weights (load_from)."
            )
        batches = meta.get("batches_per_epoch")
        inside = bool(batches) and meta["iter"] % batches != 0 and isinstance(self.train_loop, ExactEpochLoop)
        if inside and batches != len(self.train_dataloader):
            raise ConfigError(
                f"{filename}: was written in the middle of an epoch of {batches} batches, an epoch has "
                f"{len(self.train_dataloader)} now. Keep data and batch size until the epoch's end."
            )
        groups, own = (group_sizes(state) for state in (content["optimizer"], self.optim_wrapper.state_dict()))
        if groups != own:
            raise ConfigError(
                f"{filename}: its optimizer has groups of {groups} weights, this training's has {own}. "
                "Does it belong to this config?"
            )

    def _load_schedules(self, states: Any) -> None:
        pairs = (
            [("", self.param_schedulers, states)]
            if not isinstance(self.param_schedulers, dict)
            else [(name, schedulers, states[name]) for name, schedulers in self.param_schedulers.items()]
        )
        for name, schedulers, state in pairs:
            if len(schedulers) != len(state):
                raise ValueError(
                    f"param_scheduler {name}: {len(state)} schedules in the checkpoint, {len(schedulers)} now"
                )
            for scheduler, one in zip(schedulers, state, strict=True):
                scheduler.load_state_dict(one)

    def stop_if_asked(self, saved: Path | None = None) -> None:
        """Save the state and end the training if a signal came; all ranks call it at the same step.

        Args:
            saved: A checkpoint that holds just this state already.

        Raises:
            TrainingStopped: It ends.
        """
        number = self._stop_request.signal_number() if self._stop_request is not None else 0
        counts = getattr(self.optim_wrapper, "_accumulative_counts", 1)
        if not number or (saved is None and self.iter % counts and self.iter < self.max_iters):
            return
        keeper = next((hook for hook in self.hooks if hasattr(hook, "save_interrupted")), None)
        if saved is None and keeper is not None:
            saved = keeper.save_interrupted(self)
        outcome = f"saved: {saved}. Go on with --resume." if saved else "nothing could be saved"
        raise TrainingStopped(f"stopped by a signal after iteration {self.iter} of {self.max_iters}; {outcome}", number)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint, whole or not at all.

        Args:
            out_dir: Folder on a disk.
            filename: Name in it.
            file_client_args: Not supported.
            save_optimizer: With the optimizer's state, and gradients that are not applied yet.
            save_param_scheduler: With the schedules' states.
            meta: More to write under `meta`.
            by_epoch: Whether it is written at an epoch's end, before the runner counts it.
            backend_args: Not supported.

        Raises:
            ConfigError: A weight is NaN or infinite; nothing is written.
            OSError: It cannot be written; an older file of the name is as it was.
        """
        if file_client_args or backend_args:
            raise ConfigError(
                "default_hooks.checkpoint: expected a folder on a disk, got arguments for another storage"
            )
        epoch, iteration = (self.epoch + 1, self.iter) if by_epoch else (self.epoch, self.iter + 1)
        weights = self._bare_model.state_dict()
        path = Path(out_dir) / filename
        refuse_non_finite(weights, f"{path} is not written, older checkpoints are kept")  # on all ranks alike
        if not is_main_process():
            return
        checkpoint: dict[str, Any] = {
            "meta": {"epoch": epoch, "iter": iteration} | self._describe_training() | (meta or {}),
            "state_dict": weights,
            "message_hub": self.message_hub.state_dict(),
        }
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
            checkpoint["gradients"] = self._unapplied_gradients(iteration)
        if save_param_scheduler and self.param_schedulers is not None:
            schedulers = self.param_schedulers
            checkpoint["param_schedulers"] = (
                {name: [one.state_dict() for one in some] for name, some in schedulers.items()}
                if isinstance(schedulers, dict)
                else [one.state_dict() for one in schedulers]
            )
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoint |= {key: to_plain(checkpoint[key]) for key in ("meta", "message_hub")}
        buffer = io.BytesIO()  # not in a `with`: closing it under a view would hide the error of a full disk
        torch.save(map_nested(checkpoint, _on_cpu), buffer)
        write_atomically(path, buffer.getbuffer())

    def _describe_training(self) -> dict[str, Any]:
        metainfo = getattr(self.train_dataloader.dataset, "metainfo", None)
        batches = len(self.train_dataloader) if isinstance(self.train_loop, ExactEpochLoop) else None
        return {
            "cfg": self.message_hub.get_info("cfg", None) or self.cfg.pretty_text,  # the same; formatting it takes time
            "seed": self.seed,
            "experiment_name": self.experiment_name,
            "time": time.strftime("%Y%m%d_%H%M%S"),
            "settings": settings_of(self.cfg),
            "batches_per_epoch": batches,
            "num_processes": get_world_size(),
            TRAINING_ID: self.message_hub.get_info(TRAINING_ID, ""),
            **({"dataset_meta": metainfo} if metainfo is not None else {}),
        }

    def _unapplied_gradients(self, iteration: int) -> dict[str, torch.Tensor]:
        """Return the gradients that wait for further batches, where several are gathered for one step."""
        counts = getattr(self.optim_wrapper, "_accumulative_counts", 1)
        if iteration % counts == 0 or iteration >= self.max_iters:
            return {}
        return {name: weight.grad for name, weight in self._bare_model.named_parameters() if weight.grad is not None}


def _load_gradients(model: nn.Module, gradients: dict[str, torch.Tensor]) -> None:
    weights = dict(model.named_parameters())
    for name, gradient in gradients.items():
        weights[name].grad = gradient.to(weights[name])


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value
