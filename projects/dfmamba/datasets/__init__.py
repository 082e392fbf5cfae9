"""Adapters from official layouts to one sample contract (see `dfmamba.datasets.base`), and the transforms.

The adapters are there where mmpose is. The parsers and the readers of files (`files`) work without it, with what
`requirements/runtime.txt` names and mmengine, whose logger they use; where mmpose is installed, it is loaded.
"""

from importlib.util import find_spec

from dfmamba.datasets.assemblyhands_annotations import parse_assemblyhands
from dfmamba.datasets.dexycb_annotations import parse_dexycb
from dfmamba.datasets.interhand26m_annotations import parse_interhand26m
from dfmamba.datasets.nyu_annotations import parse_nyu
from dfmamba.datasets.rhp_annotations import parse_rhp

__all__ = ["parse_assemblyhands", "parse_dexycb", "parse_interhand26m", "parse_nyu", "parse_rhp"]

if find_spec("mmpose"):
    from dfmamba.datasets.assemblyhands import AssemblyHandsDataset
    from dfmamba.datasets.base import HandDataset
    from dfmamba.datasets.depth_transforms import (
        CropDepthCube,
        LoadNYUDepth,
        RandomCubeTurn,
        RandomDepthBoxJitter,
        RandomDepthErasing,
    )
    from dfmamba.datasets.dexycb import DexYCBDataset
    from dfmamba.datasets.interhand26m import InterHand26MDataset
    from dfmamba.datasets.interhand26m_hands import InterHand26MHandsDataset
    from dfmamba.datasets.nyu import NYUDataset
    from dfmamba.datasets.rhp import RHPDataset
    from dfmamba.datasets.single_hand import (
        AddBoneLength,
        AddViewRotation,
        MirrorLeftHand,
        RotateCameraJoints,
        ToSingleHand,
    )
    from dfmamba.datasets.transforms import InvalidateBlankImage, RandomBoxJitter, RandomChannelGain, RandomHandFlip

    __all__ += [
        "HandDataset",
        "InterHand26MDataset",
        "InvalidateBlankImage",
        "RandomBoxJitter",
        "RandomChannelGain",
        "RandomHandFlip",
    ]
    __all__ += [
        "AssemblyHandsDataset",
        "CropDepthCube",
        "DexYCBDataset",
        "LoadNYUDepth",
        "NYUDataset",
        "RHPDataset",
        "RandomCubeTurn",
        "RandomDepthBoxJitter",
        "RandomDepthErasing",
    ]
    __all__ += [
        "AddBoneLength",
        "AddViewRotation",
        "InterHand26MHandsDataset",
        "MirrorLeftHand",
        "RotateCameraJoints",
        "ToSingleHand",
    ]
