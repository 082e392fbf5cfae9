"""Data sets: adapters from official layouts to one sample contract (see `dfmamba.datasets.base`), and transforms.

Names are loaded at their first use. The adapters and transforms need mmpose; the parsers do without it, with what
`requirements/runtime.txt` names and mmengine, whose logger they use.
"""

from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from dfmamba.datasets.spec import DatasetSpec, data_set, data_sets, public_names, register_data_set

LATE = {  # name to the module that is loaded at its first use; the data sets' own are in their specs
    "HandDataset": "base",
    **dict.fromkeys(
        (
            "AddBoneLength",
            "AddViewRotation",
            "CropDepthCube",
            "MaskBlankImage",
            "LoadNYUDepth",
            "MirrorLeftHand",
            "RandomHandBBoxTransform",
            "RandomColorScale",
            "RandomRotateScale3D",
            "RandomDepthBoxJitter",
            "RandomDepthErasing",
            "RandomHandFlip",
            "RotateKeypoints3D",
            "ToSingleHand",
        ),
        "transforms",
    ),
}
__all__ = ["DatasetSpec", "data_set", "data_sets", "register_data_set"]
__all__ += [*LATE, *public_names("datasets")]


def __getattr__(name: str) -> Any:
    """Load a class or a parser."""
    if name in LATE:
        return getattr(import_module(f"{__name__}.{LATE[name]}"), name)
    if place := public_names("datasets").get(name):
        return resolve_name(place)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
