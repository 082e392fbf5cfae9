"""Import everything that registers with mmengine and mmpose; configs name this module in `custom_imports`."""

from . import codecs, engine
from .datasets import transforms
from .datasets.spec import data_sets
from .evaluation import detnet_metric, hand_box_metric
from .models import backbones, estimators, heads, necks
from .visualization import hand_visualizer

for spec in data_sets().values():
    spec.register()

__all__ = [
    "backbones",
    "codecs",
    "detnet_metric",
    "engine",
    "estimators",
    "hand_box_metric",
    "hand_visualizer",
    "heads",
    "necks",
    "transforms",
]
