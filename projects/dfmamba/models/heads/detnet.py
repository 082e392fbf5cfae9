"""The head of DetNet: heatmaps, bone directions and joint locations, one branch after the other, on one map.

Source: Zhou et al., Monocular Real-time Hand Shape and Motion Capture using Multi-modal Data (CVPR 2020); layers as in
its public inference code, training as in the public PyTorch port.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from numpy.typing import NDArray
from torch import Tensor, nn

from dfmamba.datasets.sample import turn_back

from ..checkpoint_keys import load_old_keys
from .detnet_losses import heatmap_loss, vector_loss

Features = Sequence[Tensor]

COORDINATE_CHANNELS = 2


def coordinate_channels(x: Tensor) -> Tensor:
    """Return maps (B, 2, H, W) of x and y for a map (B, C, H, W): -1 in the first, 1 in the last column or row."""
    height, width = x.shape[-2:]
    columns, rows = (torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in (width, height))
    grid_y, grid_x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([grid_x, grid_y]).expand(x.shape[0], -1, -1, -1)


def branch(in_channels: int, hidden_channels: int, out_channels: int, bias: float = 0.0) -> nn.Sequential:
    """Return a 3x3 convolution with batch normalisation and ReLU, and a 1x1 convolution that starts close to `bias`."""
    project = nn.Conv2d(in_channels, hidden_channels, 3, padding=1, bias=False)
    predict = nn.Conv2d(hidden_channels, out_channels, 1)
    nn.init.kaiming_normal_(project.weight, mode="fan_out", nonlinearity="relu")
    nn.init.trunc_normal_(predict.weight, std=0.01)
    assert predict.bias is not None
    nn.init.constant_(predict.bias, bias)
    return nn.Sequential(project, nn.BatchNorm2d(hidden_channels), nn.ReLU(inplace=True), predict)


@MODELS.register_module()
class DetNetHead(BaseHead):
    """DetNet's three branches on one feature map: K joints of one hand, up to the hand's size.

    Two coordinate channels are added to the map; the first branch gives heatmaps, the second deltas (unit vectors from
    the parents to the joints), the third locations (joints in units of the reference bone, relative to the root). Each
    branch sees the map and the output of all branches before it. The locations at the peaks of the heatmaps are the
    prediction; the deltas only train the features.

    No image tells the size of a hand: `predict` scales the joints so that the reference bone has its true length. That
    uses the ground truth, as this method's published evaluations do; metrics must say so.

    Differences from the public code, with reasons:
        - Heatmaps start at `heatmap_prior`, about the mean of the targets, and not at 0.5. From 0.5 the first steps
          push all of them to 0, where the sigmoid is flat, and training stays there for a long time: docs/detnet.md.
        - The two losses of vectors are squared errors, averaged over the cells with the true heatmap as weight. PyTorch
          port: the Frobenius norm (with its root) over the whole batch, divided by the number of samples, which depends
          on the size of the batch and is undefined without samples. The weights 100, 1 and 10 are the port's.
        - The targets are vectors, not maps that repeat them in each cell: the same loss.

    Args:
        in_channels: Channels of the map: one number, in a list. `HandPoseEstimator` can fill it in.
        num_joints: K, as in the codec.
        hidden_channels: Channels inside the branches.
        heatmap_prior: What untrained heatmaps show, by the bias of their last layer; 0.5 is the public code's.
        heatmap_loss_weight: Weight of `loss_heatmap`.
        delta_loss_weight: Weight of `loss_delta`.
        location_loss_weight: Weight of `loss_location`.
        bone_length: Length of the reference bone in mm where the ground truth is not known, such as in pictures of
            one's own; None reads the meta key `bone_length` (made by `AddBoneLength`).
        decoder: Config of the codec (`DetNetCodec`); only training works without.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: There is more than one map, `heatmap_prior` is not between 0 and 1, or the codec has another number
            of joints.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_joints: int = 21,
        hidden_channels: int = 256,
        heatmap_prior: float = 0.02,
        heatmap_loss_weight: float = 100.0,
        delta_loss_weight: float = 1.0,
        location_loss_weight: float = 10.0,
        bone_length: float | None = None,
        decoder: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        load_old_keys(self)
        if len(in_channels) != 1:
            raise ValueError(
                f"in_channels: expected one number, because DetNet has one map, got {tuple(in_channels)}; "
                "the neck FeatureFusionNeck makes one map of several"
            )
        if not 0 < heatmap_prior < 1:
            raise ValueError(f"heatmap_prior: expected a number between 0 and 1, got {heatmap_prior}")
        self.in_channels, self.num_joints = tuple(in_channels), num_joints
        self.heatmap_loss_weight, self.delta_loss_weight = heatmap_loss_weight, delta_loss_weight
        self.location_loss_weight, self.bone_length = location_loss_weight, bone_length
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if self.decoder is not None and self.decoder.num_joints != num_joints:
            raise ValueError(f"num_joints: expected that of the codec, {self.decoder.num_joints}, got {num_joints}")
        channels = in_channels[0] + COORDINATE_CHANNELS
        self.heatmap = branch(channels, hidden_channels, num_joints, bias=math.log(heatmap_prior / (1 - heatmap_prior)))
        self.delta = branch(channels + num_joints, hidden_channels, 3 * num_joints)
        self.location = branch(channels + 4 * num_joints, hidden_channels, 3 * num_joints)

    def forward(self, feats: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the maps.

        Args:
            feats: One map (B, C, H, W).

        Returns:
            Heatmaps (B, K, H, W) in 0 to 1, deltas and locations (B, 3 K, H, W); channel 3 j + i is coordinate i of
            joint j. All are float32 at least, under autocast too.

        Raises:
            ValueError: There is more than one map.
        """
        if len(feats) != 1:
            raise ValueError(f"feats: expected one map, got {len(feats)} (see the neck FeatureFusionNeck)")
        x = torch.cat([feats[0], coordinate_channels(feats[0])], dim=1)
        heatmaps = self.heatmap(x).sigmoid()
        x = torch.cat([x, heatmaps], dim=1)
        delta = self.delta(x)
        location = self.location(torch.cat([x, delta], dim=1))
        dtype = torch.promote_types(heatmaps.dtype, torch.float32)
        return heatmaps.to(dtype), delta.to(dtype), location.to(dtype)

    def predict(
        self, feats: Any, batch_data_samples: list[PoseDataSample], test_cfg: dict[str, Any] | None = None
    ) -> list[InstanceData]:
        """Predict joints in crop px, in mm and in units of the reference bone.

        Args:
            feats: One map (B, C, H, W).
            batch_data_samples: Samples with the meta key `bone_length` (1,) in mm, unless the head has a length; and
                `view_rotation` (3, 3) if it was trained with `AddViewRotation`.
            test_cfg: `flip_test` is refused: a mirrored right hand is a left one, which this head never sees.

        Returns:
            For every sample, in numpy:
                keypoints (1, K, 3): x, y in crop px, z in mm relative to the predicted wrist.
                keypoint_scores (1, K): Heights of the peaks.
                keypoints_cam (1, K, 3): mm relative to the predicted wrist (NYU: to the codec's root), along the
                    camera's axes, with the reference bone as long as the ground truth's.
                keypoints_scale_free (1, K, 3): The same with the reference bone as unit.

        Raises:
            ValueError: A flip test is asked for, there is no codec, or a sample lacks the bone's length.
        """
        if (test_cfg or {}).get("flip_test", False):
            raise ValueError("flip_test: expected False, because DetNetHead knows hands of one side only, got True")
        if self.decoder is None:
            raise ValueError("decoder: expected the config of a DetNetCodec to predict with, got None")
        heatmaps, _, location = self.forward(feats)
        all_maps = zip(heatmaps.detach().cpu().numpy(), location.detach().cpu().numpy(), strict=True)
        return [self._decode_sample(*maps, sample) for maps, sample in zip(all_maps, batch_data_samples, strict=True)]

    def predict_tensors(self, feats: Features) -> dict[str, Tensor]:
        """Predict in tensors alone: what a graph for other runtimes computes.

        Args:
            feats: One map (B, C, H, W).

        Returns:
            `keypoints` (B, K, 2) in crop px; `scores` (B, K), heights of the peaks; `bones` (B, K, 3), joints relative
            to the wrist (NYU: to the codec's root) with the reference bone as unit.

        Raises:
            ValueError: There is no codec.
        """
        if self.decoder is None:
            raise ValueError("decoder: expected the config of a DetNetCodec to predict with, got None")
        heatmaps, _, location = self.forward(feats)
        scores, peaks = heatmaps.flatten(2).max(dim=-1)
        width = heatmaps.shape[-1]
        cells = torch.stack([peaks % width, peaks // width], dim=-1)
        points = (cells + 0.5) * cells.new_tensor(self.decoder.stride, dtype=heatmaps.dtype) - 0.5
        at_peaks = peaks[:, :, None, None].expand(-1, -1, 3, -1)  # (B, K, 3, 1)
        locations = location.unflatten(1, (-1, 3)).flatten(3).gather(-1, at_peaks)[..., 0]
        joints = locations - locations[:, self.decoder.origin, None]
        start, end = self.decoder.bone
        length = (joints[:, end] - joints[:, start]).norm(dim=-1)
        return {"keypoints": points, "scores": scores, "bones": joints / length.clamp(min=1e-6)[:, None, None]}

    def _decode_sample(
        self, heatmaps: NDArray[np.floating], location_maps: NDArray[np.floating], sample: PoseDataSample
    ) -> InstanceData:
        """Read the joints of one sample out of its maps, and scale them."""
        assert self.decoder is not None
        points, scores, locations = self.decoder.decode(heatmaps, location_maps)
        joints = locations - locations[:, [self.decoder.origin]]
        joints = turn_back(joints, sample.metainfo)
        scale_free = joints / np.maximum(self.decoder.bone_length(joints), 1e-6)
        joints_mm = scale_free * self._bone_length_of(sample)
        return InstanceData(
            keypoints=np.concatenate([points, joints_mm[..., 2:]], axis=-1),
            keypoint_scores=scores,
            keypoints_cam=joints_mm,
            keypoints_scale_free=scale_free,
        )

    def _bone_length_of(self, sample: PoseDataSample) -> float:
        """Return the length of the sample's reference bone in mm."""
        if self.bone_length is not None:
            return self.bone_length
        if "bone_length" not in sample.metainfo:
            raise ValueError(
                "bone_length: expected the length of the reference bone among the meta keys (transform "
                "AddBoneLength, and 'bone_length' in the meta_keys of PackPoseInputs) or as an argument "
                f"of DetNetHead, got only {sorted(sample.metainfo)}"
            )
        return float(np.asarray(sample.metainfo["bone_length"]).item())

    def loss(
        self, feats: Features, batch_data_samples: list[PoseDataSample], train_cfg: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            feats: One map (B, C, H, W).
            batch_data_samples: Samples with the codec's heatmaps and labels.
            train_cfg: Unused, part of mmpose's interface.

        Returns:
            `loss_heatmap`, `loss_delta` and `loss_location`, weighted; and to watch, detached, over joints that count:
            `error_cells`, the mean distance of the predicted from the true peak in cells, and `error_bones`, the mean
            distance of the locations read out at the predicted peaks in units of the reference bone.

        Raises:
            ValueError: The maps do not have the size of the targets.
        """
        heatmaps, delta, location = self.forward(feats)
        true_heatmaps = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        if heatmaps.shape != true_heatmaps.shape:
            raise ValueError(
                f"heatmaps: expected the codec's shape {tuple(true_heatmaps.shape)}, got {tuple(heatmaps.shape)} "
                "(see map_size of the neck and of the codec)"
            )
        true_delta, delta_weights, true_location, location_weights, weights = (
            torch.cat([getattr(sample.gt_instance_labels, name) for sample in batch_data_samples])
            for name in ("deltas", "delta_weights", "locations", "location_weights", "keypoint_weights")
        )
        delta, location = (maps.unflatten(1, (-1, 3)) for maps in (delta, location))
        losses = {
            "loss_heatmap": self.heatmap_loss_weight * heatmap_loss(heatmaps, true_heatmaps, weights),
            "loss_delta": self.delta_loss_weight * vector_loss(delta, true_delta, true_heatmaps, delta_weights),
            "loss_location": self.location_loss_weight
            * vector_loss(location, true_location, true_heatmaps, location_weights),
        }
        with torch.no_grad():
            errors = {
                "error_cells": peak_error(heatmaps, true_heatmaps, weights),
                "error_bones": read_out_error(heatmaps, location, true_location, location_weights),
            }
        return losses | errors


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Average over the joints that count; 0 if none does."""
    return (weights * values).sum() / weights.sum().clamp(min=1)


def peak_error(heatmaps: Tensor, true_heatmaps: Tensor, weights: Tensor) -> Tensor:
    """Return the mean distance of the peaks of heatmaps (B, J, H, W) in cells, over joints with weights (B, J)."""
    width = heatmaps.shape[-1]
    peaks, true_peaks = (maps.flatten(2).argmax(-1) for maps in (heatmaps, true_heatmaps))
    columns, rows = peaks % width - true_peaks % width, peaks // width - true_peaks // width
    return weighted_mean(torch.hypot(columns.float(), rows.float()), weights)


def read_out_error(heatmaps: Tensor, locations: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean distance of locations (B, J, 3, H, W) at the peaks of heatmaps from their targets (B, J, 3)."""
    peaks = heatmaps.flatten(2).argmax(-1)[..., None, None].expand(-1, -1, 3, -1)  # (B, J, 3, 1)
    return weighted_mean((locations.flatten(3).gather(-1, peaks)[..., 0] - targets).norm(dim=-1), weights)
