"""The feed-forward network of the token blocks."""

from torch import Tensor, nn


class Mlp(nn.Module):
    """Two linear layers with a GELU between, hidden width `ratio` times the channels."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.fc1: nn.Module = nn.Linear(channels, hidden)
        self.act: nn.Module = nn.GELU()
        self.fc2: nn.Module = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the same shape, (..., channels)."""
        return self.fc2(self.act(self.fc1(x)))
