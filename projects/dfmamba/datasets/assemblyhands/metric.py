"""AssemblyHands' protocol as an mmengine metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.datasets.assemblyhands.results import camera_to_world
from dfmamba.evaluation.metrics import HandMetric
from dfmamba.evaluation.protocol import JointTable
from dfmamba.skeleton import TWO_HANDS


@METRICS.register_module()
class AssemblyHandsMPJPE(HandMetric):
    """AssemblyHands' MPJPE, and S2DHand's errors and AUC.

    See `HandMetric` and `dfmamba.datasets.assemblyhands.protocol`. K is 42; the 21 joints of the sample's hand are
    valid.

    The numbers count hands in camera images, as the toolkit. The result file is in world coordinates, with one entry a
    frame, as the HANDS challenge asks for: a hand that several cameras see gets the mean of their predictions; beside
    it each camera's own are kept, so that `tools/score.py` can count both ways. It needs the meta keys `hand_type`
    (1, 2), `seq_name`, `frame_idx`, `camera`, and `extrinsic` (3, 4), [R|t] from world to camera in mm.
    """

    default_prefix = "assemblyhands"
    data_set_name = "assemblyhands"

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return frame, camera and hand, for the result file."""
        if not self.result_file:
            return {}, {}
        recording, frame, camera = (self.require(sample, name) for name in ("seq_name", "frame_idx", "camera"))
        return {}, {
            "frame": np.array(f"{recording}/{int(frame):06d}"),
            "camera": np.array(camera),
            "extrinsic": self.array(sample, "extrinsic", (3, 4)),
            "hand_type": self.array(sample, "hand_type", (2,)) > 0,
        }

    def for_result_file(self, pred: JointTable) -> JointTable:
        """Return the predictions in the world, with the frames as ids."""
        world = np.array(
            [
                camera_to_world(joints, extrinsic)
                for joints, extrinsic in zip(pred.joints_mm, pred.fields["extrinsic"], strict=True)
            ]
        )
        hand = np.repeat(pred.fields["hand_type"], TWO_HANDS.num_joints // 2, axis=1)
        return JointTable(
            [str(frame) for frame in pred.fields["frame"]], world, hand, {"camera": pred.fields["camera"]}
        )
