"""InterHand2.6M's protocol as an mmengine metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.datasets.interhand26m.protocol import lift_wrists
from dfmamba.evaluation.metrics import HandMetric
from dfmamba.skeleton import RIGHT, TWO_HANDS


@METRICS.register_module()
class InterHandMPJPE(HandMetric):
    """InterHand2.6M's MPJPE, and MRRPE and handedness accuracy where the model predicts what they need.

    See `HandMetric` and `dfmamba.datasets.interhand26m.protocol`. Joints are lifted with `abs_depth` (2,), the depth
    of each hand's root, true or RootNet's, in place of `root_depth`. Also reads the meta keys `hand_type` (1, 2) and
    `hand_type_valid`, which is optional; and of the prediction `rel_root_depth` (1,) in mm, left minus right, for MRRPE
    and `hand_type` (1, 2), probabilities of a right and a left hand, for the accuracy.

    Returns for each subset (single: one hand is labelled; two: both; all):
        MPJPE_rr_macro_{subset}_mm: The published number: mean over joints of per-joint means, wrists included.
        MPJPE_rr_micro_{subset}_mm: Mean over all valid joints, as mmpose's `InterHandMetric`.
        constant_pose_macro_{subset}_mm: The macro error of the best constant pose, a yardstick.
        samples_{subset}: Number of samples.
    A subset without valid joints gives NaN, and a warning. And MRRPE_mm, handedness_accuracy_annotated; and
    handedness_accuracy, the official one, where the data set has `keep_unannotated=True`: it counts records without a
    valid joint, which the model must then be run on.
    """

    default_prefix = "interhand"
    data_set_name = "interhand26m"

    def read_root_depth(self, sample: Mapping[str, Any]) -> NDArray[np.floating]:
        """Return the depth in mm of each joint's root, (42,)."""
        return np.repeat(self.array(sample, "abs_depth", (2,)), TWO_HANDS.num_joints // 2)

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return the labelled hands; the predicted wrists and hands where there are any."""
        gt = {"hand_type": self.array(sample, "hand_type", (2,)) > 0}
        if "hand_type_valid" in sample:
            gt["hand_type_valid"] = self.array(sample, "hand_type_valid", (1,))[0] > 0
        pred: dict[str, NDArray[Any]] = {}
        if "rel_root_depth" in sample["pred_instances"]:
            pred["roots_mm"] = self._lift_wrists(sample)
        if "hand_type" in sample["pred_instances"]:
            pred["handedness"] = self.array(sample["pred_instances"], "hand_type", (2,))
        return gt, pred

    def _lift_wrists(self, sample: Mapping[str, Any]) -> NDArray[np.floating]:
        """Return right and left wrist in camera space, (2, 3), for MRRPE."""
        wrists = self.array(sample["pred_instances"], "keypoints", (TWO_HANDS.num_joints, 3))[list(TWO_HANDS.roots)]
        return lift_wrists(
            wrists,
            self.array(sample, "abs_depth", (2,))[RIGHT],
            self.array(sample["pred_instances"], "rel_root_depth", (1,))[0],
            self.array(sample, "focal", (2,)),
            self.array(sample, "principal_pt", (2,)),
        )

    def has_every_record(self, count: int) -> bool:
        """Say whether the data set keeps all records, and all are here: joined ones are described by their first."""
        source = (self.dataset_meta or {}).get("data_source", {})
        return bool(source.get("has_every_record", False)) and source.get("num_samples") == count
