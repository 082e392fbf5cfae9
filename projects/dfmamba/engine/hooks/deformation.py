"""A record of how far DSSM layers deform over a training."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from dfmamba.models.deformation import Deformation, watch_deformation

FILE_NAME = "deformation.json"


@HOOKS.register_module()
class DeformationHook(Hook):
    """Write `deformation.json` in the work folder: offsets and weights of every DSSM layer, from time to time.

    A list in the order of time; each entry has `iteration` (from 1) and `layers`, for each layer's name the values of
    `dfmamba.models.deformation.Deformation`, measured on that iteration's training batch. A resumed run goes on in the
    file that is there. Models without such a layer get no file.

    Args:
        interval: Iterations from one entry to the next; the first and the last iteration have entries too.
    """

    def __init__(self, interval: int = 500) -> None:
        if interval < 1:
            raise ValueError(f"interval: expected at least 1, got {interval}")
        self.interval = interval
        self._watching = ExitStack()
        self._seen: dict[str, Deformation] = {}

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Watch this iteration if it is one of those in the file."""
        number = runner.iter + 1
        if number == 1 or number % self.interval == 0 or number == runner.max_iters:
            self._seen = self._watching.enter_context(watch_deformation(runner.model))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add what has been seen."""
        self._watching.close()
        seen, self._seen = self._seen, {}
        if seen:
            self._add(runner, seen)

    @master_only
    def _add(self, runner: Any, seen: dict[str, Deformation]) -> None:
        path, number = Path(runner.work_dir) / FILE_NAME, runner.iter + 1
        before = json.loads(path.read_text()) if path.exists() and number > 1 else []
        entries = [entry for entry in before if entry["iteration"] < number]
        entries.append({"iteration": number, "layers": {name: layer.as_dict() for name, layer in seen.items()}})
        path.write_text(json.dumps(entries, indent=1) + "\n")
