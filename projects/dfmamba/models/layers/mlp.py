"""The feed-forward network of the token blocks."""

from torch import nn


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between, hidden width `ratio` times the channels."""

    def __init__(self, channels: int, ratio: float) -> None:
        hidden = int(channels * ratio)
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))
