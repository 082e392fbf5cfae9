"""Hooks, each in a file of its own; importing this registers them in mmengine's HOOKS."""

from dfmamba.engine.hooks.contact_sheet import ContactSheetHook
from dfmamba.engine.hooks.deformation import DeformationHook
from dfmamba.engine.hooks.durable_checkpoint import DurableCheckpointHook
from dfmamba.engine.hooks.first_batch import FirstBatchCheckHook
from dfmamba.engine.hooks.loss_curve import LossCurveHook
from dfmamba.engine.hooks.progress import ProgressHook
from dfmamba.engine.hooks.skipped_samples import SkippedSamplesHook

__all__ = [
    "ContactSheetHook",
    "DeformationHook",
    "DurableCheckpointHook",
    "FirstBatchCheckHook",
    "LossCurveHook",
    "ProgressHook",
    "SkippedSamplesHook",
]
