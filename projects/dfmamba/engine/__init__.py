"""Training and testing around mmengine's Runner: checked configs, checkpoints, hooks, reports.

Importing it registers the runner, its loops and the hooks, and makes `checkpoint_file` mmengine's loader.
"""

from dfmamba.engine.checkpoint_file import open_checkpoint
from dfmamba.engine.collate import one_piece_collate
from dfmamba.engine.config import load_config
from dfmamba.engine.errors import BatchError, ConfigError, UserError
from dfmamba.engine.hooks import (
    ContactSheetHook,
    DurableCheckpointHook,
    FirstBatchCheckHook,
    LossCurveHook,
    ProgressHook,
    SkippedSamplesHook,
)
from dfmamba.engine.layer_decay import BackboneLayerDecayConstructor
from dfmamba.engine.runner import ReproducibleRunner

__all__ = [
    "BackboneLayerDecayConstructor",
    "BatchError",
    "ConfigError",
    "ContactSheetHook",
    "DurableCheckpointHook",
    "FirstBatchCheckHook",
    "LossCurveHook",
    "ProgressHook",
    "ReproducibleRunner",
    "SkippedSamplesHook",
    "UserError",
    "load_config",
    "one_piece_collate",
    "open_checkpoint",
]
