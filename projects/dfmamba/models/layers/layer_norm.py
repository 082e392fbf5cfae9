"""Layer normalisation of feature maps."""

from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of a feature map (batch, channels, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map."""
        x = x.permute(0, 2, 3, 1)  # (batch, channels, H, W) -> (batch, H, W, channels)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
