"""A head: what mmpose's `BaseHead` asks for is `forward`, `loss` and `predict`."""

import torch
from mmpose.models.heads import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import nn


@MODELS.register_module()
class MeanHead(BaseHead):
    """Every joint from the mean of the last map, by one linear layer; in the units of `A2JCodec`."""

    def __init__(self, in_channels, decoder, num_joints=42):
        super().__init__()
        self.num_joints, self.decoder = num_joints, KEYPOINT_CODECS.build(decoder)
        self.joints = nn.Linear(in_channels[-1], 3 * num_joints)

    def forward(self, feats):
        return 100 * self.joints(feats[-1].mean(dim=(2, 3))).unflatten(1, (self.num_joints, 3))

    def loss(self, feats, batch_data_samples, train_cfg=None):
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        weights = torch.cat([one.keypoint_weights for one in labels])[..., None]
        off = self.forward(feats) - torch.cat([one.keypoint_labels for one in labels])
        return {"loss_joints": (weights * off.abs()).sum() / weights.sum().clamp(min=1)}

    def predict(self, feats, batch_data_samples, test_cfg=None):
        joints = self.forward(feats)
        return self.decode((joints, torch.ones_like(joints[..., 0])))
