"""RHD's protocols as an mmengine metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.evaluation.metrics import HandMetric
from dfmamba.skeleton import NUM_HAND_JOINTS, TWO_HANDS, hand_slice


@METRICS.register_module()
class RHPEPE(HandMetric):
    """RHP's EPE, and hand3d's errors and AUC: see `HandMetric` and `dfmamba.datasets.rhp.protocol`.

    K is 42; the 21 valid joints of the chosen hand count. The meta key `hand_type` (1, 2) says which it is. hand3d's
    own numbers need the meta keys `all_joints_cam` (21, 3) and `joints_seen` (21,), see `RHPDataset`.
    """

    default_prefix = "rhp"
    data_set_name = "rhp"

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return which hand it is, for the result file; and all its joints, for hand3d's numbers."""
        hand = self.array(sample, "hand_type", (2,)) > 0
        if "all_joints_cam" not in sample or "joints_seen" not in sample:
            return {"hand_type": hand}, {"hand_type": hand}
        both, seen = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
        part = hand_slice(int(np.argmax(hand)))
        both[part] = self.array(sample, "all_joints_cam", (NUM_HAND_JOINTS, 3))
        seen[part] = self.array(sample, "joints_seen", (NUM_HAND_JOINTS,)) > 0
        return {"hand_type": hand, "all_joints_mm": both, "seen": seen}, {"hand_type": hand}
