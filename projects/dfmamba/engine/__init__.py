"""Training and testing around mmengine's Runner: checked configs, hooks, reports. Importing it registers the hooks."""

from dfmamba.engine.config import load_config
from dfmamba.engine.errors import BatchError, ConfigError, UserError
from dfmamba.engine.hooks import (
    ContactSheetHook,
    FirstBatchCheckHook,
    LossCurveHook,
    PlainCheckpointHook,
    ProgressHook,
    SkippedSamplesHook,
)

__all__ = ["BatchError", "ConfigError", "ContactSheetHook", "FirstBatchCheckHook", "LossCurveHook",
           "PlainCheckpointHook", "ProgressHook", "SkippedSamplesHook", "UserError", "load_config"]
