"""The steps between a sample and the network's input, registered with mmpose."""

from dfmamba.datasets.transforms.augmentation import (
    InvalidateBlankImage,
    RandomBoxJitter,
    RandomChannelGain,
    RandomHandFlip,
)
from dfmamba.datasets.transforms.depth import (
    CropDepthCube,
    LoadNYUDepth,
    RandomCubeTurn,
    RandomDepthBoxJitter,
    RandomDepthErasing,
)
from dfmamba.datasets.transforms.single_hand import (
    AddBoneLength,
    AddViewRotation,
    MirrorLeftHand,
    RotateCameraJoints,
    ToSingleHand,
)

__all__ = [
    "AddBoneLength",
    "AddViewRotation",
    "CropDepthCube",
    "InvalidateBlankImage",
    "LoadNYUDepth",
    "MirrorLeftHand",
    "RandomBoxJitter",
    "RandomChannelGain",
    "RandomCubeTurn",
    "RandomDepthBoxJitter",
    "RandomDepthErasing",
    "RandomHandFlip",
    "RotateCameraJoints",
    "ToSingleHand",
]
