"""NYU's protocol as an mmengine metric."""

from mmpose.registry import METRICS

from dfmamba.evaluation.metrics import HandMetric


@METRICS.register_module()
class NYUMeanError(HandMetric):
    """NYU's absolute mean error and success rates: see `HandMetric` and `dfmamba.datasets.nyu.protocol`.

    K is 14, NYU's own joints.
    """

    default_prefix = "nyu"
    data_set_name = "nyu"
