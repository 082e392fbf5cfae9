"""Stochastic depth: residual branches that are dropped for whole samples while training."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch for whole samples while training (stochastic depth), and scale up those that stay."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x with each sample zeroed with probability `rate`."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty([x.shape[0]] + [1] * (x.dim() - 1)).bernoulli_(keep) / keep


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return the rate of each of `depth` blocks, growing linearly from 0 to `last`."""
    return [last * number / max(depth - 1, 1) for number in range(depth)]
