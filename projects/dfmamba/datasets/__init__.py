"""Adapters from official layouts to one sample contract (see `dfmamba.datasets.base`), and the transforms.

The adapters are there where mmpose is; the readers of files (`files`) and the parsers need numpy alone.
"""

from importlib.util import find_spec

from dfmamba.datasets.interhand26m_annotations import InterHandAnnotations, parse_interhand26m

__all__ = ["InterHandAnnotations", "parse_interhand26m"]

if find_spec("mmpose"):
    from dfmamba.datasets.base import HandDataset
    from dfmamba.datasets.interhand26m import InterHand26MDataset
    from dfmamba.datasets.transforms import InvalidateBlankImage, RandomBoxJitter, RandomChannelGain, RandomHandFlip

    __all__ += ["HandDataset", "InterHand26MDataset", "InvalidateBlankImage", "RandomBoxJitter", "RandomChannelGain",
                "RandomHandFlip"]
