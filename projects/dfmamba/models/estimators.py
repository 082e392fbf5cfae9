"""The estimator: backbone and head, connected without channel numbers in the config."""

from typing import Any

from mmpose.models import TopdownPoseEstimator
from mmpose.registry import MODELS


@MODELS.register_module()
class HandPoseEstimator(TopdownPoseEstimator):
    """mmpose's top-down estimator that tells the head the backbone's channels.

    If the head's config has no `in_channels`, they are taken from the backbone's `feature_info`: one
    `dict(num_chs=..., reduction=..., module=...)` for each map it returns, in order. A neck changes the channels, so
    with a neck the config must name them.

    Predictions have x, y in image px and z in mm relative to the root: mmpose maps only x and y from crop to image.

    Args:
        backbone: Config of the backbone.
        head: Config of the head.
        neck: Config of a neck.
        **kwargs: The other arguments of `TopdownPoseEstimator`.

    Raises:
        ValueError: The head has no `in_channels`, and the backbone no `feature_info` or there is a neck.
    """

    def __init__(self, backbone: dict, head: dict, neck: dict | None = None, **kwargs: Any) -> None:
        built_backbone = MODELS.build(backbone)
        if "in_channels" not in head:
            feature_info = getattr(built_backbone, "feature_info", None)
            if feature_info is None or neck is not None:
                silent = "the neck" if neck else type(built_backbone).__name__
                raise ValueError(f"head.in_channels: expected one number for each map that the head gets, got nothing, "
                                 f"and {silent} does not tell them: set head.in_channels in the config")
            head = {**head, "in_channels": [info["num_chs"] for info in feature_info]}
        # mmpose builds the parts from configs; this one gives back the backbone that is there already
        super().__init__(backbone={"type": lambda: built_backbone}, neck=neck, head=head, **kwargs)
