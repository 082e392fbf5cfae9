"""A depthwise convolution over the map that tokens form."""

from torch import Tensor, nn


class TokenMapConv(nn.Conv2d):
    """Depthwise 3x3 convolution of tokens (batch, H*W, channels) on their H x W map; zeros outside."""

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels, bias=bias)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Return tokens of the same shape; `size` is (H, W)."""
        x = x.transpose(1, 2).unflatten(2, size)  # (batch, L, channels) -> (batch, channels, H, W), channels last
        return self._conv_forward(x, self.weight, self.bias).flatten(2).transpose(1, 2)
