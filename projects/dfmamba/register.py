"""Import everything that registers with mmengine and mmpose; configs name this module in `custom_imports`."""

from . import codecs, datasets, engine
from .evaluation import metrics
from .models import backbones, estimators, heads, necks

__all__ = ["backbones", "codecs", "datasets", "engine", "estimators", "heads", "metrics", "necks"]
