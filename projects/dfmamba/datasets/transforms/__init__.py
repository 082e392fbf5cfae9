"""The steps between a sample and the network's input, registered with mmpose."""

from dfmamba.datasets.transforms.augmentation import (
    MaskBlankImage,
    RandomColorScale,
    RandomHandBBoxTransform,
    RandomHandFlip,
)
from dfmamba.datasets.transforms.camera import RandomCameraEffects, RandomImageBox, RandomOccluders, WholeImageBox
from dfmamba.datasets.transforms.depth import (
    CropDepthCube,
    LoadNYUDepth,
    RandomDepthBoxJitter,
    RandomDepthErasing,
    RandomRotateScale3D,
)
from dfmamba.datasets.transforms.single_hand import (
    AddBoneLength,
    AddViewRotation,
    MirrorLeftHand,
    RotateKeypoints3D,
    ToSingleHand,
)

__all__ = [
    "AddBoneLength",
    "AddViewRotation",
    "CropDepthCube",
    "LoadNYUDepth",
    "MaskBlankImage",
    "MirrorLeftHand",
    "RandomCameraEffects",
    "RandomColorScale",
    "RandomDepthBoxJitter",
    "RandomDepthErasing",
    "RandomHandBBoxTransform",
    "RandomHandFlip",
    "RandomImageBox",
    "RandomOccluders",
    "RandomRotateScale3D",
    "RotateKeypoints3D",
    "ToSingleHand",
    "WholeImageBox",
]
