"""Adapters from official layouts to one sample contract (see `dfmamba.datasets.base`), and the transforms."""

from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.interhand26m import InterHand26MDataset
from dfmamba.datasets.interhand26m_annotations import InterHandAnnotations, parse_interhand26m
from dfmamba.datasets.transforms import InvalidateBlankImage, RandomBoxJitter, RandomChannelGain, RandomHandFlip

__all__ = [
    "HandDataset",
    "InterHand26MDataset",
    "InterHandAnnotations",
    "InvalidateBlankImage",
    "RandomBoxJitter",
    "RandomChannelGain",
    "RandomHandFlip",
    "parse_interhand26m",
]
