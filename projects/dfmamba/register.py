"""Import everything that registers with mmengine and mmpose; configs name this module in `custom_imports`."""

from . import codecs, datasets, engine
from .evaluation import detnet_metric, metrics
from .models import backbones, estimators, heads, necks
from .visualization import hand_visualizer

__all__ = [
    "backbones",
    "codecs",
    "datasets",
    "detnet_metric",
    "engine",
    "estimators",
    "hand_visualizer",
    "heads",
    "metrics",
    "necks",
]
