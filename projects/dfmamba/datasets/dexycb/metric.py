"""DexYCB's protocol as an mmengine metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.evaluation.metrics import HandMetric


@METRICS.register_module()
class DexYCBMPJPE(HandMetric):
    """DexYCB's three MPJPEs and AUCs: see `HandMetric` and `dfmamba.datasets.dexycb.protocol`.

    K is 21. `id` is the toolkit's image id.

    Args:
        pred_frame: 'absolute', or 'root_relative' for a model whose `keypoints_cam` are relative to the wrist: then the
            absolute numbers are left out. A model whose joints are lifted with the true depth of the wrist
            (`root_depth`) gives absolute numbers that know this depth.
        **arguments: Of `HandMetric`.
    """

    default_prefix = "dexycb"
    data_set_name = "dexycb"

    def __init__(self, pred_frame: str = "absolute", **arguments: Any) -> None:
        if pred_frame not in ("absolute", "root_relative"):
            raise ValueError(f"pred_frame: expected 'absolute' or 'root_relative', got {pred_frame!r}")
        super().__init__(**arguments)
        self.pred_frame = pred_frame

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return whether the prediction is root-relative."""
        return {}, {"root_relative": np.array(True)} if self.pred_frame == "root_relative" else {}
