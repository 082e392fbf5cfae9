"""The toy data set, of which the process with a given rank fails while it reads a sample; imported by a config."""

import os
import signal

from mmengine.registry import DATASETS
from toy_project import ToyHands

from dfmamba.errors import DataError


@DATASETS.register_module()
class FailingHands(ToyHands):
    """`how` is 'killed', 'data' or 'bug'."""

    def __init__(self, how: str, rank: int = 1, num_samples: int = 8):
        super().__init__(num_samples)
        self.how, self.rank = how, rank

    def __getitem__(self, index: int) -> dict:
        if os.environ["RANK"] == str(self.rank):
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise DataError("a.json: record 3: broken") if self.how == "data" else ZeroDivisionError("a bug")
        return super().__getitem__(index)
