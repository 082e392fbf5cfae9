"""SIGTERM and SIGINT while training: the next step is finished and saved, then the training ends."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.logging import MMLogger

from dfmamba.errors import StoppedError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(StoppedError):  # noqa: N818, it is no error
    """A training was asked to stop, and has saved its state.

    Attributes:
        exit_code: 128 plus the number of the signal, as shells have it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopRequest:
    """Notes a signal instead of ending the process; a second one ends it. A context around a training.

    Schedulers send SIGTERM before they take a machine away, and a terminal sends SIGINT.
    """

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}
        self._group: Any = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        if get_world_size() > 1:
            self._group = torch.distributed.new_group(backend="gloo")  # asks on the host, and waits for no GPU
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        self._group = None  # a group that is still there when the process ends makes gloo abort it

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        MMLogger.get_current_instance().warning(
            f"{signal.Signals(number).name}: saving at the next step, then stopping; a second signal stops at once"
        )

    def signal_number(self) -> int:
        """Return the number of the signal that any of the processes got, 0 without one; all must ask together."""
        if self._group is None:
            return self.number
        number = torch.tensor([self.number])
        torch.distributed.all_reduce(number, op=torch.distributed.ReduceOp.MAX, group=self._group)
        return int(number)
