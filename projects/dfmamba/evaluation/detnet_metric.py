"""DetNet's protocol as an mmengine metric, for any model and any data set of hands with 21 joints."""

from dataclasses import replace
from typing import Any

from mmpose.registry import METRICS

from dfmamba.evaluation.detnet_protocol import PROTOCOL
from dfmamba.evaluation.metrics import HandMetric
from dfmamba.evaluation.protocol import Protocol
from dfmamba.skeleton import skeleton_with


@METRICS.register_module()
class DetNetMPJPE(HandMetric):
    """Errors up to the hand's size: see `HandMetric` and `dfmamba.evaluation.detnet_protocol`.

    It scales every hand by the ground truth itself, so models that know a size and models that do not can be compared.

    Args:
        num_joints: K, 21 (DexYCB) or 42.
        **arguments: Of `HandMetric`, without `result_file`: each data set's own metric writes it.

    Raises:
        ValueError: A result file is asked for.
    """

    default_prefix = "detnet"

    def __init__(self, num_joints: int = 42, **arguments: Any) -> None:
        if arguments.get("result_file"):
            raise ValueError(
                "result_file: expected none, because the metric of the data set writes it, got "
                f"{arguments['result_file']!r}"
            )
        super().__init__(**arguments)
        self.num_joints = num_joints

    @property
    def protocol(self) -> Protocol:
        """DetNet's protocol with this number of joints."""
        return replace(PROTOCOL, skeleton=skeleton_with(self.num_joints))
