"""A head that finds right and left hands in whole pictures: heatmaps of their middles, and boxes in each cell."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from mmpose.models.losses.heatmap_loss import FocalHeatmapLoss
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from dfmamba.skeleton import SIDES

from .detnet import branch

Features = Sequence[Tensor]
NEAR_PEAK = 0.3  # height of the true heatmap from which on a cell learns the box
LOWEST = 1e-4  # of a heatmap, in the logarithms of its loss
USUAL_SIDE_PX = 64.0  # half the side of boxes at the start
LARGEST_LOG = 3.0  # of a distance over the usual one: 1285 px


@MODELS.register_module()
class HandFinderHead(BaseHead):
    """Objects as points (Zhou et al., 2019), trained as TTFNet is (Liu et al., AAAI 2020), for right and left hands.

    Of one map it makes a heatmap for each side, whose peaks are the middles of hands, and in each cell the distances
    from the cell to the four sides of a hand's box. Heatmaps learn by the focal loss of CornerNet, boxes by their
    generalised intersection over union in the cells around the peak, of which each hand has the same weight in all.

    Differences from TTFNet, with reasons: distances are exponentials, so that small boxes are learnt as exactly as
    large ones; each side has boxes of its own, because hands cover each other.

    Args:
        in_channels: Channels of the map: one number, in a list. `HandPoseEstimator` can fill it in.
        hidden_channels: Channels inside the branches.
        heatmap_prior: What untrained heatmaps show, by the bias of their last layer.
        box_loss_weight: Weight of `loss_box` beside that of the heatmaps.
        decoder: Config of the codec, `HandBoxCodec`.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: There is more than one map, or `heatmap_prior` is not between 0 and 1.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        decoder: dict[str, Any],
        hidden_channels: int = 64,
        heatmap_prior: float = 0.02,
        box_loss_weight: float = 5.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != 1:
            raise ValueError(
                f"in_channels: expected one number, because this head has one map, got {tuple(in_channels)}; "
                "the neck FeatureFusionNeck makes one map of several"
            )
        if not 0 < heatmap_prior < 1:
            raise ValueError(f"heatmap_prior: expected a number between 0 and 1, got {heatmap_prior}")
        self.decoder = KEYPOINT_CODECS.build(decoder)
        self.box_loss_weight = box_loss_weight
        self.heatmap_loss = FocalHeatmapLoss()
        bias = math.log(heatmap_prior / (1 - heatmap_prior))
        self.heatmap = branch(in_channels[0], hidden_channels, len(SIDES), bias=bias)
        self.distances = branch(in_channels[0], hidden_channels, 4 * len(SIDES))

    def forward(self, feats: Features) -> tuple[Tensor, Tensor]:
        """Compute the maps.

        Args:
            feats: One map (B, C, H, W).

        Returns:
            Heatmaps (B, 2, H, W) in 0 to 1, of the [right, left] hand, and boxes (B, 2, 4, H, W), corners in px of the
            picture. Both are float32 at least, under autocast too.
        """
        heatmaps, logs = self.heatmap(feats[0]), self.distances(feats[0])
        dtype = torch.promote_types(heatmaps.dtype, torch.float32)
        distances = USUAL_SIDE_PX * logs.to(dtype).clamp(max=LARGEST_LOG).exp().unflatten(1, (len(SIDES), 4))
        columns, rows = (
            (torch.arange(size, dtype=dtype, device=heatmaps.device) + 0.5) * stride
            for size, stride in zip(distances.shape[:-3:-1], self.decoder.stride.tolist(), strict=True)
        )
        left, top, right, bottom = distances.unbind(2)
        x, y = columns, rows[:, None]
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=2)
        return heatmaps.to(dtype).sigmoid(), boxes

    def predict_tensors(self, feats: Features) -> dict[str, Tensor]:
        """Predict in tensors alone: `heatmaps` and `boxes` as in `forward`."""
        heatmaps, boxes = self.forward(feats)
        return {"heatmaps": heatmaps, "boxes": boxes}

    def predict(
        self, feats: Any, batch_data_samples: list[PoseDataSample], test_cfg: dict[str, Any] | None = None
    ) -> list[InstanceData]:
        """Find hands.

        Args:
            feats: One map (B, C, H, W).
            batch_data_samples: Unused, part of mmpose's interface.
            test_cfg: `flip_test` is refused.

        Returns:
            For every sample, in numpy: `bboxes` (N, 4) in px of the picture that the network sees, `bbox_scores` (N,),
            and `labels` (N,), the number of the side.

        Raises:
            ValueError: A flip test is asked for.
        """
        if (test_cfg or {}).get("flip_test", False):
            raise ValueError("flip_test: expected False, because HandFinderHead has none, got True")
        maps = zip(*(values.detach().cpu().numpy() for values in self.forward(feats)), strict=True)
        found = [self.decoder.decode(*of_sample) for of_sample in maps]
        return [InstanceData(bboxes=hands.corners, bbox_scores=hands.scores, labels=hands.sides) for hands in found]

    def loss(
        self, feats: Features, batch_data_samples: list[PoseDataSample], train_cfg: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            feats: One map (B, C, H, W).
            batch_data_samples: Samples with the codec's heatmaps and boxes.
            train_cfg: Unused, part of mmpose's interface.

        Returns:
            `loss_heatmap` and `loss_box`; and to watch, detached, `overlap`, the mean intersection over union of the
            boxes at the middles of hands.
        """
        heatmaps, boxes = self.forward(feats)
        true_heatmaps, weights = (
            torch.stack([getattr(sample.gt_fields, name) for sample in batch_data_samples])
            for name in ("heatmaps", "heatmap_weights")
        )
        true_boxes, is_there = (
            torch.cat([getattr(sample.gt_instance_labels, name) for sample in batch_data_samples])
            for name in ("hand_boxes", "hand_box_weights")
        )
        near = true_heatmaps * (true_heatmaps > NEAR_PEAK)
        near = near / near.sum(dim=(2, 3), keepdim=True).clamp(min=1)  # the peak is 1
        samples, sides, rows, columns = near.nonzero(as_tuple=True)
        found = boxes[samples, sides, :, rows, columns]
        wanted = true_boxes[samples, sides]
        of_cells = generalized_box_iou_loss(found, wanted) * near[samples, sides, rows, columns]
        at_peaks = true_heatmaps[samples, sides, rows, columns] == 1
        return {
            "loss_heatmap": self.heatmap_loss(heatmaps.clamp(LOWEST, 1 - LOWEST), true_heatmaps, weights),
            "loss_box": self.box_loss_weight * of_cells.sum() / is_there.sum().clamp(min=1),
            "overlap": box_iou(found.detach()[at_peaks], wanted[at_peaks]).diagonal().sum()
            / at_peaks.sum().clamp(min=1),
        }
