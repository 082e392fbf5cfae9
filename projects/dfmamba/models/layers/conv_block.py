"""The convolution block of DF-Mamba."""

from torch import Tensor, nn

from .drop_path import DropPath


class ConvBlock(nn.Module):
    """Residual pair of 3x3 convolutions with batch normalisation, on feature maps."""

    def __init__(self, channels: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return a feature map of the same shape."""
        return x + self.drop_path(self.branch(x))
