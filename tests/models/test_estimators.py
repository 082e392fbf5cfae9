"""The estimator from config to predictions, with a tiny backbone."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmpose.registry import MODELS
from torch import nn

import dfmamba.codecs
import dfmamba.models.estimators
import dfmamba.models.heads  # noqa: F401, registers the head


@MODELS.register_module()
class TwoLevelBackbone(nn.Module):
    def __init__(self, publish=True):
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 12, 2, 2)
        if publish:
            self.feature_info = [
                {"num_chs": 8, "reduction": 8, "module": "stem"},
                {"num_chs": 12, "reduction": 16, "module": "next"},
            ]

    def forward(self, images):
        first = self.stem(images)
        return first, self.next(first)


def config(head=None, **changes):
    return ConfigDict({
        "type": "HandPoseEstimator",
        "backbone": {"type": "TwoLevelBackbone"},
        "head": {
            "type": "A2JHead",
            "num_joints": 3,
            "input_size": (64, 64),
            "embed_dims": 16,
            "num_heads": 2,
            "num_encoder_layers": 1,
            "num_decoder_layers": 2,
            "decoder": {"type": "A2JCodec", "input_size": (64, 64)},
            **(head or {}),
        },
        **changes,
    })


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_head_learns_the_channels_from_the_backbone(images, make_samples):
    cfg = config()
    model = MODELS.build(cfg)
    assert model.head.in_channels == (8, 12)
    assert "in_channels" not in cfg.head
    losses, _ = model.parse_losses(model(images, make_samples(2), mode="loss"))
    losses.backward()
    assert model.backbone.stem.weight.grad.abs().sum() > 0


def test_given_channels_are_kept(images, make_samples):
    model = MODELS.build(config(head={"in_channels": [8, 12]}, backbone={"type": "TwoLevelBackbone", "publish": False}))
    assert all(torch.isfinite(value) for value in model(images, make_samples(2), mode="loss").values())


@pytest.mark.parametrize("flip_test", [False, True])
def test_predictions_are_in_image_px_and_root_relative_mm(images, make_samples, flip_test):
    torch.manual_seed(0)
    model = MODELS.build(config(test_cfg={"flip_test": flip_test})).eval()
    with torch.no_grad():
        joints, _ = model(images, None, mode="tensor")
        samples = model(images, make_samples(2), mode="predict")
    assert len(samples) == 2
    for sample, joint in zip(samples, joints.numpy(), strict=True):
        # the crop of 64 px shows 128 x 128 px around (100, 200)
        expected = [joint[:, 0] * 2 + 100 - 64, joint[:, 1] * 2 + 200 - 64, (joint[:, 2] - 128) * 1.5625]
        tolerance = 4 if flip_test else 1e-3  # an untrained model is not quite symmetric
        np.testing.assert_allclose(sample.pred_instances.keypoints[0], np.stack(expected, -1), atol=tolerance)
        assert sample.pred_instances.keypoints.shape == (1, 3, 3)
        assert sample.pred_instances.keypoint_scores.shape == (1, 3)
        assert (sample.pred_instances.keypoint_scores > 0).all()
        assert (sample.pred_instances.keypoint_scores <= 1).all()


def test_one_step_of_training_through_mmengine(images, make_samples):
    from mmengine.optim import OptimWrapper

    model = MODELS.build(config())
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-4))
    logged = model.train_step({"inputs": images, "data_samples": make_samples(2)}, optimizer)
    assert set(logged) == {"loss", "loss_anchor", "loss_regression", "error_xy_px", "error_z_mm"}
    torch.testing.assert_close(logged["loss"], logged["loss_anchor"] + logged["loss_regression"])


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"backbone": {"type": "TwoLevelBackbone", "publish": False}}, "TwoLevelBackbone"),
        ({"neck": {"type": "Identity"}}, "the neck"),
    ],
)
def test_unknown_channels_are_an_error_with_advice(changes, culprit):
    with pytest.raises(ValueError, match=f"{culprit} does not tell them: set head.in_channels"):
        MODELS.build(config(**changes))
