"""Depthwise convolutions of tokens (batch, L, channels): along their sequence, and over the map that they form."""

from torch import Tensor, nn
from torch.nn import functional as F


class TokenConv(nn.Conv1d):
    """Depthwise convolution along the token sequence, which keeps its length.

    Args:
        channels: Channels of the tokens.
        kernel_size: Tokens a kernel covers.
        causal: Whether a token sees earlier tokens only (Mamba's own) or as many on both sides ('same' padding).
    """

    def __init__(self, channels: int, kernel_size: int = 3, causal: bool = False) -> None:
        before = kernel_size - 1 if causal else (kernel_size - 1) // 2
        # A convolution pads both ends alike, so that some kernels give tokens too many; `first` is the first to keep.
        self.pad = max(before, kernel_size - 1 - before)
        self.first = self.pad - before
        super().__init__(channels, channels, kernel_size, padding=self.pad, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels)."""
        length = x.shape[1]
        # Convolved as a map of one row in channels-last memory: tokens go in and come out without a transposition.
        row = x.transpose(1, 2).unsqueeze(2)  # (batch, channels, 1, L)
        row = F.conv2d(row, self.weight.unsqueeze(2), self.bias, padding=(0, self.pad), groups=self.groups)
        return row.squeeze(2).transpose(1, 2)[:, self.first : self.first + length]


class TokenMapConv(nn.Conv2d):
    """Depthwise 3x3 convolution of tokens (batch, H*W, channels) on their H x W map; zeros outside."""

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels, bias=bias)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Return tokens of the same shape; `size` is (H, W)."""
        x = x.transpose(1, 2).unflatten(2, size)  # (batch, L, channels) -> (batch, channels, H, W), channels last
        return self._conv_forward(x, self.weight, self.bias).flatten(2).transpose(1, 2)
