"""The head of A2J-Transformer: every joint is a weighted mean of the predictions of 3D anchors.

Source: Jiang et al., A2J-Transformer: Anchor-to-Joint Transformer Network for 3D Interacting Hand Pose Estimation from
a Single RGB Image (CVPR 2023); numbers as in its public code.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from dfmamba.skeleton import TWO_HANDS

from ..layers.fused_linear import fused_mlp
from .a2j_losses import anchor_loss, assignment_loss, regression_loss
from .a2j_transformer import A2JTransformer, mlp
from .folded_a2j import FoldedA2JTransformer
from .hand_presence import HandPresence

Features = Sequence[Tensor]

CHANNELS_PER_GROUP = 8  # of GroupNorm: 32 groups of the published 256 channels


def anchor_grid(input_size: tuple[int, int], stride: float, first: float, depths: Sequence[float]) -> Tensor:
    """Return the 3D anchors (A, 3) as x, y in crop px and z in depth bins; y runs slowest, z fastest.

    Args:
        input_size: (width, height) of the crop in px.
        stride: Distance of neighbouring anchors in the plane in px.
        first: x and y of the first anchor in px.
        depths: z of the anchors in depth bins.
    """
    width, height = input_size
    x, y = (torch.arange(first, side, stride, dtype=torch.float) for side in (width, height))
    grid_y, grid_x, grid_z = torch.meshgrid(y, x, torch.tensor(depths, dtype=torch.float), indexing="ij")
    return torch.stack([grid_x, grid_y, grid_z], dim=-1).flatten(0, 2)


def projection(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Sequential:
    """Return a convolution (Xavier, bias 0) with GroupNorm behind it."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
    nn.init.xavier_uniform_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.GroupNorm(out_channels // CHANNELS_PER_GROUP, out_channels))


def offset_mlp(channels: int, num_joints: int) -> nn.Sequential:
    """Return the MLP that gives the offsets; they start close to zero."""
    layers = mlp(channels, channels, num_joints * 3, num_layers=3)
    last_weight, last_bias = list(layers.parameters())[-2:]
    nn.init.xavier_uniform_(last_weight, gain=0.01)
    nn.init.zeros_(last_bias)
    return layers


def coordinate_weights(labels: InstanceData) -> Tensor:
    """Return the weights (1, J, 3) of x, y and z in the labels of a sample; without `depth_weights` they are equal."""
    in_plane = labels.keypoint_weights
    return torch.stack([in_plane, in_plane, labels.get("depth_weights", in_plane)], dim=-1)


@MODELS.register_module()
class A2JHead(BaseHead):
    """A2J-Transformer on any backbone that returns one or several feature maps.

    The maps are projected to `embed_dims` channels and encoded together; each anchor's query looks at them around the
    anchor. Behind every decoder layer an anchor a gives each joint j an offset o(a, j) and a weight w(a, j), softmax
    over the anchors; the joint is the sum over a of w(a, j) (a + o(a, j)). All layers are trained, the last predicts.

    Units inside: x, y in crop px, z in depth bins. `predict` gives crop px and mm through the codec.

    A joint's score is exp(-spread / `anchor_stride`), where spread is the weighted root mean square distance (px and
    bins alike) of the positions a + o(a, j) from their mean. It is 1 where all anchors agree and 1/e where they
    disagree by the distance of two neighbours: a measure of agreement, not a probability.

    Differences from the released code, with reasons:
        - The anchors are a buffer. Released: a parameter that was meant to be fixed, but the optimiser still moves it.
          `learnable_anchors` makes them a parameter, trained through every layer (released: through the first only).
        - The 6 `bbox_embed_anchor` MLPs (792,588 weights) are left out: their output is never used.
        - The last linear layer of each offset MLP starts with bias 0 and a hundredth of Xavier's weights: joints start
          at the center of the anchors. Released: a leftover of DETR starts most offsets of the first layer at -512.
        - Offsets are scaled by (width, height, depth_bins) instead of 256, and the anchors likewise: the same at 256.
        - No padding masks and valid ratios: the crops of a batch have one size, so they change nothing.
        - The anchor loss has beta = 1 on z too, as in the code (the paper says 3).

    Args:
        in_channels: Channels of the backbone's maps, one number for each. `HandPoseEstimator` can fill them in.
        num_joints: Joints J.
        input_size: (width, height) of the crop in px.
        depth_bins: Units of the depth axis, as in the codec.
        anchor_stride: Distance of neighbouring anchors in the plane in px.
        first_anchor: x and y of the first anchor in px.
        anchor_depths: z of the anchors in depth bins.
        learnable_anchors: Train the anchors' positions.
        num_extra_levels: Levels added by 3x3 convolutions of stride 2, the first on the last backbone map.
        embed_dims: Channels of the transformer, a multiple of 8 and of `num_heads`.
        num_heads: Attention heads.
        num_points: Points of deformable attention for each head and level.
        num_encoder_layers: Encoder layers.
        num_decoder_layers: Decoder layers, each with its own output MLPs.
        feedforward_channels: Hidden channels of the transformer's feed-forward parts.
        dropout: Dropout probability in the transformer.
        anchor_loss_weight: Weight of `loss_anchor`.
        regression_loss_weight: Weight of `loss_regression`.
        assignment_loss_weight: Weight of `loss_assignment`, which is not part of A2J-Transformer and off by default: it
            teaches each joint its nearest anchors, and so shortens a training from scratch.
        presence_loss_weight: Weight of `loss_presence`. Above 0, which is not part of A2J-Transformer, the head of two
            hands also learns which of them are there (`HandPresence`), and predictions have `hand_type` (1, 2),
            probabilities of a right and a left hand.
        decoder: Config of the codec (`A2JCodec`); only training works without.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: The codec's crop or bins differ from the head's, `embed_dims` does not fit, or the presence of hands
            is asked of a joint set that is not of two.
    """

    anchors: Tensor
    volume: Tensor

    NO_WEIGHT_DECAY = ("queries", "anchors")

    def __init__(
        self,
        in_channels: Sequence[int],
        num_joints: int = 42,
        input_size: tuple[int, int] = (256, 256),
        depth_bins: int = 256,
        anchor_stride: float = 16.0,
        first_anchor: float = 7.5,
        anchor_depths: Sequence[float] = (63.5, 127.5, 191.5),
        learnable_anchors: bool = False,
        num_extra_levels: int = 1,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_points: int = 4,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        anchor_loss_weight: float = 1.0,
        regression_loss_weight: float = 3.0,
        assignment_loss_weight: float = 0.0,
        presence_loss_weight: float = 0.0,
        decoder: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % CHANNELS_PER_GROUP:
            raise ValueError(f"embed_dims: expected a multiple of {CHANNELS_PER_GROUP}, got {embed_dims}")
        self.in_channels, self.num_joints, self.anchor_stride = tuple(in_channels), num_joints, anchor_stride
        self.anchor_loss_weight, self.regression_loss_weight = anchor_loss_weight, regression_loss_weight
        self.assignment_loss_weight = assignment_loss_weight
        self._build_anchors(anchor_grid(input_size, anchor_stride, first_anchor, anchor_depths), learnable_anchors)
        self.register_buffer("volume", torch.tensor([*input_size, depth_bins], dtype=torch.float), persistent=False)
        self._build_codec(decoder, input_size, depth_bins)

        self.projections = nn.ModuleList(projection(c, embed_dims, 1, 1) for c in in_channels)
        extra_channels = [in_channels[-1], *[embed_dims] * num_extra_levels][:num_extra_levels]
        self.extra_projections = nn.ModuleList(projection(c, embed_dims, 3, 2) for c in extra_channels)
        self.queries = nn.Parameter(torch.randn(len(self.anchors), embed_dims))
        self.transformer: A2JTransformer | FoldedA2JTransformer = A2JTransformer(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=len(in_channels) + num_extra_levels,
            num_points=num_points,
            num_encoder_layers=num_encoder_layers,
            num_decoder_layers=num_decoder_layers,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
        )
        if presence_loss_weight and num_joints != TWO_HANDS.num_joints:
            raise ValueError(
                f"presence_loss_weight: expected 0 for a head of {num_joints} joints, which are of one hand"
            )
        self.presence_loss_weight = presence_loss_weight
        self.hand_presence = HandPresence(in_channels[-1], embed_dims) if presence_loss_weight else None
        layers = range(num_decoder_layers)
        self.offset_mlps = nn.ModuleList(offset_mlp(embed_dims, num_joints) for _ in layers)
        self.weight_mlps = nn.ModuleList(mlp(embed_dims, embed_dims, num_joints, num_layers=3) for _ in layers)

    def _build_anchors(self, anchors: Tensor, learnable: bool) -> None:
        if learnable:
            self.anchors = nn.Parameter(anchors)
        else:
            self.register_buffer("anchors", anchors)

    def _build_codec(self, decoder: dict[str, Any] | None, input_size: tuple[int, int], depth_bins: int) -> None:
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if self.decoder is None:
            return
        ours, theirs = (*input_size, depth_bins), (*self.decoder.input_size, self.decoder.depth_bins)
        if ours != theirs:
            raise ValueError(f"decoder: expected the head's (width, height, depth_bins) = {ours}, got {theirs}")

    def decode_queries(self, feats: Features) -> list[Tensor]:
        """Return the anchors' queries (B, A, embed_dims) behind every decoder layer."""
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f"feats: expected {len(self.in_channels)} maps, one for each of in_channels = "
                f"{self.in_channels}, got {len(feats)} (see out_indices of the backbone)"
            )
        levels = [project(feat) for project, feat in zip(self.projections, feats, strict=True)]
        last = feats[-1]
        for project in self.extra_projections:
            last = project(last)
            levels.append(last)
        return self.transformer(levels, self.queries, self.anchors / self.volume)

    def fold(self) -> None:
        """Do with fewer steps, for inference only: see `FoldedA2JTransformer`; only the last decoder layer predicts."""
        if isinstance(self.transformer, FoldedA2JTransformer):
            return
        self.transformer = FoldedA2JTransformer(self.transformer, self.queries, self.anchors / self.volume)
        self.offset_mlps = nn.ModuleList([fused_mlp(self.offset_mlps[-1])])
        self.weight_mlps = nn.ModuleList([fused_mlp(self.weight_mlps[-1])])

    def anchor_predictions(self, queries: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return what each anchor says about each joint behind one decoder layer.

        Args:
            queries: (B, A, embed_dims).
            layer: Index of the decoder layer.

        Returns:
            Weights (B, A, J) that sum to 1 over the anchors, and positions (B, A, J, 3) in px, px, bins. Both are
            float32 at least, under autocast too: half precision cannot hold a coordinate of 255.9.
        """
        dtype = torch.promote_types(queries.dtype, torch.float32)
        weights = self.weight_mlps[layer](queries).to(dtype).softmax(dim=1)
        offsets = self.offset_mlps[layer](queries).to(dtype).unflatten(-1, (self.num_joints, 3)) * self.volume
        return weights, self.anchors[:, None] + offsets

    def forward(self, feats: Features) -> tuple[Tensor, Tensor]:
        """Predict from the last decoder layer.

        Args:
            feats: Backbone maps (B, C_l, H_l, W_l), one for each number of `in_channels`.

        Returns:
            Joints (B, J, 3) in crop px, crop px, depth bins, and scores (B, J).

        Raises:
            ValueError: The number of maps is not the number of `in_channels`.
        """
        weights, positions = self.anchor_predictions(self.decode_queries(feats)[-1], layer=-1)
        joints = (weights[..., None] * positions).sum(1)
        squared_distances = (positions - joints[:, None]).square().sum(-1)
        spread = (weights * squared_distances).sum(1).sqrt()
        return joints, (-spread / self.anchor_stride).exp()

    def predict_tensors(self, feats: Features) -> dict[str, Tensor]:
        """Predict in tensors alone, without a flip test: what a graph for other runtimes computes.

        Args:
            feats: Backbone maps (B, C_l, H_l, W_l).

        Returns:
            `keypoints` (B, J, 3): crop px, crop px, mm behind the root; `scores` (B, J); with `presence_loss_weight`
            also `presence` (B, 2), probabilities of a right and a left hand.

        Raises:
            ValueError: There is no codec.
        """
        if self.decoder is None:
            raise ValueError("decoder: expected the config of an A2JCodec to predict with, got None")
        joints, scores = self.forward(feats)
        keypoints = torch.cat([joints[..., :2], self.decoder.to_mm(joints[..., 2:])], dim=-1)
        outputs = {"keypoints": keypoints, "scores": scores}
        if self.hand_presence is not None:
            outputs["presence"] = self.hand_presence(feats).sigmoid()
        return outputs

    def predict(
        self, feats: Any, batch_data_samples: list[PoseDataSample], test_cfg: dict[str, Any] | None = None
    ) -> list[InstanceData]:
        """Predict joints in crop px and root-relative mm.

        Args:
            feats: Backbone maps; with `flip_test` a list [maps of the images, maps of the mirrored images].
            batch_data_samples: Samples; with `flip_test` the first one's `flip_indices` are read.
            test_cfg: `flip_test=True` averages with the prediction on the mirrored images.

        Returns:
            For every sample `keypoints` (1, J, 3) and `keypoint_scores` (1, J), both numpy; with
            `presence_loss_weight` also `hand_type` (1, 2).
        """
        if not (test_cfg or {}).get("flip_test", False):
            return self._with_presence(self.decode(self.forward(feats)), feats)
        images, mirrored_images = feats
        joints, scores = self.forward(images)
        flip_indices = list(batch_data_samples[0].metainfo["flip_indices"])
        mirrored_joints, mirrored_scores = (out[:, flip_indices] for out in self.forward(mirrored_images))
        # mirroring the tensor moves pixel x to width - 1 - x
        mirrored_joints[..., 0] = self.volume[0] - 1 - mirrored_joints[..., 0]
        predictions = self.decode(((joints + mirrored_joints) / 2, (scores + mirrored_scores) / 2))
        return self._with_presence(predictions, images, mirrored_images)

    def _with_presence(
        self, predictions: list[InstanceData], feats: Features, mirrored_feats: Features | None = None
    ) -> list[InstanceData]:
        """Add the hands' probabilities to predictions; with the mirrored images' maps, the mean of both."""
        if self.hand_presence is None:
            return predictions
        presence = self.hand_presence(feats).sigmoid()
        if mirrored_feats is not None:
            presence = (presence + self.hand_presence(mirrored_feats).sigmoid().flip(1)) / 2
        for prediction, of_sample in zip(predictions, presence.detach().cpu().numpy(), strict=True):
            prediction.hand_type = of_sample[None]
        return predictions

    def loss(
        self, feats: Features, batch_data_samples: list[PoseDataSample], train_cfg: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of all decoder layers.

        Args:
            feats: Backbone maps (B, C_l, H_l, W_l).
            batch_data_samples: Samples with the codec's `keypoint_labels` (1, J, 3) and `keypoint_weights` (1, J), and
                with `depth_weights` (1, J) if some depths are not known.
            train_cfg: Unused, part of mmpose's interface.

        Returns:
            `loss_anchor` and `loss_regression`, weighted, `loss_assignment` and `loss_presence` if they are on; and to
            watch, detached, of the last layer: `error_xy_px`, the mean distance in the plane in crop px, and with a
            codec `error_z_mm`, the mean absolute depth error.
        """
        targets = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch_data_samples])
        joint_weights = torch.cat([coordinate_weights(sample.gt_instance_labels) for sample in batch_data_samples])
        all_weights, all_joints = [], []
        for layer, queries in enumerate(self.decode_queries(feats)):
            weights, positions = self.anchor_predictions(queries, layer)
            all_weights.append(weights)
            all_joints.append((weights[..., None] * positions).sum(1))
        anchor_weights, joints = torch.stack(all_weights), torch.stack(all_joints)
        anchor_means = torch.einsum("lbaj,ax->lbjx", anchor_weights, self.anchors.to(anchor_weights.dtype))
        losses = {
            "loss_anchor": self.anchor_loss_weight * anchor_loss(anchor_means, targets, joint_weights),
            "loss_regression": self.regression_loss_weight * regression_loss(joints, targets, joint_weights),
        }
        if self.assignment_loss_weight:
            loss = assignment_loss(anchor_weights, self.anchors, targets, joint_weights, sigma=self.anchor_stride / 2)
            losses["loss_assignment"] = self.assignment_loss_weight * loss
        if self.hand_presence is not None:
            losses["loss_presence"] = self.presence_loss_weight * self.hand_presence.loss(feats, batch_data_samples)
        return losses | self._errors(joints[-1].detach(), targets, joint_weights)

    def _errors(self, joints: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return the mean errors over all joints that count; 0 if none does."""
        difference = joints - targets
        in_plane, in_depth = weights[..., 0], weights[..., 2]
        errors = {"error_xy_px": (in_plane * difference[..., :2].norm(dim=-1)).sum() / in_plane.sum().clamp(min=1)}
        if self.decoder is not None:
            error_bins = (in_depth * difference[..., 2].abs()).sum() / in_depth.sum().clamp(min=1)
            errors["error_z_mm"] = error_bins * self.decoder.mm_per_bin
        return errors
