"""The estimator: backbone, neck and head, connected without channel numbers in the config."""

import inspect
from typing import Any

import numpy as np
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import nn

from dfmamba.datasets.sample import mirror_back, put_hand_back
from dfmamba.skeleton import ONE_HAND, SIDES, TWO_HANDS, mmpose_metainfo, skeleton_with
from dfmamba.visualization.colors import joint_colors


@MODELS.register_module()
class HandPoseEstimator(TopdownPoseEstimator):
    """mmpose's top-down estimator that tells each part the channels of the part before it.

    If the config of the neck or of the head has no `in_channels`, they are taken from the backbone's `feature_info`:
    one `dict(num_chs=..., reduction=..., module=...)` for each map it returns, in order. A head behind a neck gets the
    neck's `out_channels`: a list, or one number for a neck with one map.

    Predictions have x, y in image px and z in mm relative to the root: mmpose maps only x and y from crop to image.
    Samples that `MirrorLeftHand` mirrored are mirrored back, and those that `ToSingleHand` took out of two hands get 42
    joints again, prediction and ground truth: they are of the image on disk, in the joint order of the data set.

    For pictures without ground truth (see `dfmamba.datasets.transforms.own_pictures`) the predictions also have what
    mmpose's `Hand3DInferencer` reads: `hand_type` (1, 2), the head's probabilities or 1 for each block of 21 joints
    that is predicted, which says nothing about the hand's side where the joint set is of one hand; and `rel_root_depth`
    (1,), which no picture tells: 0, so z stays relative to the root of the joint's own hand.

    Args:
        backbone: Config of the backbone.
        head: Config of the head.
        neck: Config of a neck.
        **kwargs: The other arguments of `TopdownPoseEstimator`.

    Raises:
        ValueError: Neck or head have no `in_channels`, and the part before does not tell them.
    """

    def __init__(
        self, backbone: dict[str, Any], head: dict[str, Any], neck: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        last: nn.Module = MODELS.build(backbone)
        # mmpose builds the parts from configs; these give back the parts that are there already
        backbone = {"type": lambda built=last: built}
        if neck is not None:
            last = MODELS.build(_with_in_channels("neck", neck, last))
            neck = {"type": lambda built=last: built}
        super().__init__(backbone=backbone, neck=neck, head=_with_in_channels("head", head, last), **kwargs)

    def add_pred_to_datasample(self, *args: Any, **kwargs: Any) -> list[PoseDataSample]:
        """Add predictions to the samples, in px of the images on disk."""
        samples = [put_hand_back(mirror_back(sample)) for sample in super().add_pred_to_datasample(*args, **kwargs)]
        for sample in samples:
            if "keypoints" not in sample.gt_instances:
                _add_hand_fields(sample)
        return samples

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """The joints' names, links and colours, as mmpose's inferencers set them: the checkpoint's, or the config's.

        Those know nothing of a data set inside a wrapper, such as `RepeatDataset`, and set None or COCO's; then it is
        the metainfo of as many joints as the head has.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, metainfo: dict[str, Any] | None) -> None:
        joints = getattr(getattr(self, "head", None), "num_joints", None)
        fitting = {joints, TWO_HANDS.num_joints if joints == ONE_HAND.num_joints else joints}
        if joints is not None and (metainfo is None or metainfo.get("num_keypoints") not in fitting):
            MMLogger.get_current_instance().warning(
                f"dataset_meta: expected the joint set of the head's {joints} joints, got "
                f"{'none' if metainfo is None else metainfo.get('dataset_name')}; that of the package is taken"
            )
            skeleton = skeleton_with(joints)
            metainfo = parse_pose_metainfo(mmpose_metainfo(skeleton, "hand", joint_colors(skeleton)))
        self._dataset_meta = metainfo


@MODELS.register_module()
class HandFinderEstimator(HandPoseEstimator):
    """Finds hands in whole pictures: the parts and arguments are those of `HandPoseEstimator`.

    Predictions of a sample: `pred_instances` with `bboxes` (N, 4), corners in px of the picture on disk, cut to it,
    `bbox_scores` (N,) and `labels` (N,), 0 for right and 1 for left.
    """

    def add_pred_to_datasample(
        self, batch_pred_instances: list[InstanceData], _: Any, batch_data_samples: list[PoseDataSample]
    ) -> list[PoseDataSample]:
        """Add predictions to the samples, in px of the pictures on disk."""
        for found, sample in zip(batch_pred_instances, batch_data_samples, strict=True):
            about = sample.metainfo
            height, width = about["ori_shape"]
            corners = found.bboxes.reshape(-1, 2, 2) / about["input_size"] * about["input_scale"]
            corners += about["input_center"] - about["input_scale"] / 2
            found.bboxes = corners.clip(0, [width, height]).reshape(-1, 4)
            sample.pred_instances = found
        return batch_data_samples


def _add_hand_fields(sample: PoseDataSample) -> None:
    """Add what mmpose's `Hand3DInferencer` reads to the prediction on a picture without ground truth."""
    if "hand_type" not in sample.pred_instances:  # the head does not say
        is_of_two = sample.metainfo.get("one_of_two_hands", False)
        there = sample.metainfo["hand_type"] if is_of_two else np.ones((1, len(SIDES)))
        sample.pred_instances.hand_type = np.asarray(there, dtype=np.float32)
    sample.pred_instances.rel_root_depth = np.zeros(1, dtype=np.float32)


def _with_in_channels(name: str, config: dict[str, Any], before: nn.Module) -> dict[str, Any]:
    """Return a part's config with the channels of the part before it, if it takes `in_channels` and has none."""
    if "in_channels" in config or not _takes_in_channels(config):
        return config
    channels = _channels(before)
    if channels is None:
        raise ValueError(
            f"{name}.in_channels: expected one number for each map that the {name} gets, got nothing, and "
            f"{type(before).__name__} does not tell them: set {name}.in_channels in the config"
        )
    return {**config, "in_channels": channels}


def _takes_in_channels(config: dict[str, Any]) -> bool:
    """Tell whether a part of this config has an argument `in_channels`; False if there is no such part."""
    part = config["type"] if callable(config["type"]) else MODELS.get(config["type"])
    return part is not None and "in_channels" in inspect.signature(part).parameters


def _channels(part: nn.Module) -> list[int] | None:
    """Return the channels of each map that a backbone or neck gives, or None where it does not tell them."""
    feature_info: Any = getattr(part, "feature_info", None)
    if feature_info is not None:
        return [info["num_chs"] for info in feature_info]
    channels: Any = getattr(part, "out_channels", None)
    return [channels] if isinstance(channels, int) else channels
