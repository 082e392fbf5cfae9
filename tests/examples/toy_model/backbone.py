"""A backbone: anything that takes images and returns maps."""

from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class ThreeConvs(nn.Module):
    """Maps of strides 8, 16 and 32, by one convolution each."""

    def __init__(self, channels=(16, 32, 64)):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 8 if before == 3 else 2, 8 if before == 3 else 2)
            for before, after in zip((3, *channels[:-1]), channels, strict=True)
        )
        self.feature_info = [
            {"num_chs": after, "reduction": 8 * 2**level, "module": f"convs.{level}"}
            for level, after in enumerate(channels)
        ]

    def forward(self, images):
        maps = []
        for conv in self.convs:
            images = conv(images)
            maps.append(images)
        return tuple(maps)
