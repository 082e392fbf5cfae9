"""Levels for a backbone that has one stride only, such as a plain vision transformer."""

from torch import Tensor, nn


class SimplePyramid(nn.Module):
    """Maps of half, the same and double the stride, made from one map.

    As in ViTDet (Li et al. 2022, arXiv 2203.16527, section 3): a transposed 2x2 convolution, which also halves the
    channels, the map itself, and 2x2 max pooling.

    Args:
        channels: Channels of the map; even.
        stride: Stride of the map against the image; even.

    Attributes:
        feature_info: For each result dict(num_chs=channels, reduction=stride, module=name of the part that makes it).

    Raises:
        ValueError: `channels` or `stride` is odd.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("stride", stride)):
            if value % 2:
                raise ValueError(f"{name}: expected an even number to halve, got {value}")
        self.finer = nn.ConvTranspose2d(channels, channels // 2, 2, 2)
        self.same = nn.Identity()
        self.coarser = nn.MaxPool2d(2, ceil_mode=True)
        self.feature_info = [
            {"num_chs": channels // 2, "reduction": stride // 2, "module": "finer"},
            {"num_chs": channels, "reduction": stride, "module": "same"},
            {"num_chs": channels, "reduction": 2 * stride, "module": "coarser"},
        ]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the three maps of a map (batch, channels, H, W), the finest first."""
        return [self.finer(x), self.same(x), self.coarser(x)]
