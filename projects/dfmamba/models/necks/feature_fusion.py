"""A neck that makes one map of a backbone's levels, for heads that want one map."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import interpolate


@MODELS.register_module()
class FeatureFusionNeck(BaseModule):
    """Project every level to the same channels, bring all to one size (bilinear), add them, and convolve the sum.

    The last 3x3 convolution, with batch normalisation and ReLU, is DetNet's own behind its backbone.

    Args:
        in_channels: Channels of the backbone's maps. `HandPoseEstimator` can fill them in.
        out_channels: Channels of the map.
        map_size: (width, height) of the map in cells.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        map_size: tuple[int, int] = (32, 32),
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.out_channels = tuple(in_channels), out_channels
        self.map_size = tuple(map_size)
        self.projections = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.squeeze = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor]:
        """Return the one map.

        Args:
            feats: Maps (B, C_l, H_l, W_l), one for each number of `in_channels`, of any sizes.

        Returns:
            A tuple with the map (B, out_channels, height, width).

        Raises:
            ValueError: The number of maps is not the number of `in_channels`.
        """
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f"feats: expected {len(self.in_channels)} maps, one for each of in_channels = "
                f"{self.in_channels}, got {len(feats)} (see out_indices of the backbone)"
            )
        size = self.map_size[::-1]
        levels = [
            interpolate(project(feat), size, mode="bilinear", align_corners=False)
            for project, feat in zip(self.projections, feats, strict=True)
        ]
        return (self.squeeze(torch.stack(levels).sum(0)),)
