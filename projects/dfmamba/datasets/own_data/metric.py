"""The scores of one's own data as an mmengine metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.evaluation.metrics import HandMetric
from dfmamba.skeleton import SIDES, TWO_HANDS


@METRICS.register_module()
class OwnDataMPJPE(HandMetric):
    """Errors in mm, in depth and in px: see `HandMetric` and `dfmamba.datasets.own_data.protocol`.

    Also reads the meta keys `space_known` and `depth_known` (2,); and for the errors in px `pred_instances.keypoints`
    and `gt_instances.keypoints` (1, 42, 3), and `gt_instances.bboxes` (1, 4).
    """

    default_prefix = "own_data"
    data_set_name = "own_data"

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return what is known, and the points in the image."""
        count = TWO_HANDS.num_joints
        gt, pred = sample["gt_instances"], sample["pred_instances"]
        box = self.array(gt, "bboxes", (4,))
        gt_fields = {name: self.array(sample, name, (len(SIDES),)) for name in ("space_known", "depth_known")}
        gt_fields |= {
            "points_px": self.array(gt, "keypoints", (count, 3))[:, :2],
            "box_px": np.array((box[2:] - box[:2]).max()),
        }
        return gt_fields, {"points_px": self.array(pred, "keypoints", (count, 3))[:, :2]}
