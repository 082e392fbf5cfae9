"""The estimator from config to predictions, with a tiny backbone."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import nn

import dfmamba.codecs
import dfmamba.models.estimators
import dfmamba.models.heads
import dfmamba.models.necks  # noqa: F401, registers the neck
from dfmamba.skeleton import ONE_HAND, TWO_HANDS, mmpose_metainfo, skeleton_with
from dfmamba.visualization.colors import joint_colors


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
    return ConfigDict(
        {
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
        }
    )


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


SILENT = {"type": "TwoLevelBackbone", "publish": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": SILENT}, "TwoLevelBackbone does not tell them: set head.in_channels"),
        ({"neck": {"type": nn.Identity}}, "Identity does not tell them: set head.in_channels"),
        (
            {"backbone": SILENT, "neck": {"type": "FeatureFusionNeck"}},
            "TwoLevelBackbone does not tell them: set neck.in_channels",
        ),
    ],
)
def test_unknown_channels_are_an_error_with_advice(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config(**changes))


class TestNeck:
    NECK: ClassVar = {"type": "FeatureFusionNeck", "out_channels": 10, "map_size": (4, 4)}

    def test_each_part_learns_the_channels_of_the_part_before_it(self, images, make_samples):
        model = MODELS.build(config(neck=self.NECK))
        assert model.neck.in_channels == (8, 12)
        assert model.head.in_channels == (10,)
        losses, _ = model.parse_losses(model(images, make_samples(2), mode="loss"))
        losses.backward()
        assert model.backbone.stem.weight.grad.abs().sum() > 0

    def test_given_channels_are_kept(self):
        model = MODELS.build(config(backbone=SILENT, neck={**self.NECK, "in_channels": [8, 12]}))
        assert model.neck.in_channels == (8, 12)

    def test_a_neck_that_takes_no_channels_is_left_alone(self):
        model = MODELS.build(config(neck={"type": nn.Identity}, head={"in_channels": [8, 12]}))
        assert isinstance(model.neck, nn.Identity)

    def test_an_unknown_part_is_named(self):
        with pytest.raises(KeyError, match="FeatureFusionNek"):
            MODELS.build(config(neck={"type": "FeatureFusionNek"}))


class TestDetNet:
    """The other framework, with backbones that tell their channels and one that does not."""

    RESNET: ClassVar = {
        "type": "ResNet",
        "depth": 18,
        "base_channels": 8,
        "stem_channels": 8,
        "out_indices": (0, 1, 2, 3),
    }

    def build(self, backbone, **neck):
        codec = {"type": "DetNetCodec", "input_size": (64, 64), "map_size": (16, 16)}
        return MODELS.build(
            {
                "type": "HandPoseEstimator",
                "backbone": backbone,
                "neck": {"type": "FeatureFusionNeck", "out_channels": 12, "map_size": (16, 16), **neck},
                "head": {"type": "DetNetHead", "hidden_channels": 16, "decoder": codec, "bone_length": 80.0},
            }
        ).eval()

    @pytest.mark.parametrize(
        ("backbone", "neck"),
        [
            ({"type": "DFMamba", "arch": "nano", "out_indices": (0, 1, 3, 5)}, {}),
            ({"type": "TwoLevelBackbone"}, {}),
            (RESNET, {"in_channels": [8, 16, 32, 64]}),
        ],
        ids=["DFMamba", "TwoLevelBackbone", "ResNet"],
    )
    def test_any_backbone_predicts_in_image_px_and_mm(self, images, make_samples, backbone, neck):
        torch.manual_seed(0)
        model = self.build(backbone, **neck)
        with torch.no_grad():
            heatmaps, _, _ = model(images, None, mode="tensor")
            samples = model(images, make_samples(2), mode="predict")
        for sample, maps in zip(samples, heatmaps.numpy(), strict=True):
            rows, columns = np.divmod(maps.reshape(21, -1).argmax(-1), 16)
            keypoints = sample.pred_instances.keypoints[0]
            # the crop of 64 px shows 128 x 128 px around (100, 200); a cell has 4 px of the crop
            crop = np.stack([columns, rows], -1) * 4 + 1.5
            np.testing.assert_allclose(keypoints[:, :2], crop * 2 + (100 - 64, 200 - 64))
            np.testing.assert_array_equal(keypoints[:, 2], sample.pred_instances.keypoints_cam[0, :, 2])
            assert np.linalg.norm(sample.pred_instances.keypoints_cam[0, 11]) == pytest.approx(80, rel=1e-4)


class TestDatasetMeta:
    """What mmpose's inferencers set on the model."""

    @pytest.fixture
    def model(self):
        return MODELS.build(config(head={"num_joints": 21}))

    @pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS], ids=["21", "42, of which one hand is predicted"])
    def test_a_joint_set_that_fits_stays(self, model, skeleton, log):
        meta = parse_pose_metainfo(mmpose_metainfo(skeleton, "mine", joint_colors(skeleton)))
        model.dataset_meta = meta
        assert model.dataset_meta is meta
        assert not log.records

    @pytest.mark.parametrize(("joints", "set_by_mmpose"), [(21, None), (42, None), (14, {"num_keypoints": 17})])
    def test_nothing_and_another_joint_set_are_replaced_by_that_of_the_head(self, joints, set_by_mmpose, log):
        model = MODELS.build(config(head={"num_joints": joints}))
        model.dataset_meta = set_by_mmpose
        assert model.dataset_meta["num_keypoints"] == joints
        assert tuple(model.dataset_meta["keypoint_id2name"].values()) == skeleton_with(joints).names
        assert f"expected the joint set of the head's {joints} joints" in log.text

    def test_two_hands_are_not_seen_by_a_head_of_another_set(self):
        model = MODELS.build(config(head={"num_joints": 14}))
        model.dataset_meta = parse_pose_metainfo(mmpose_metainfo(TWO_HANDS, "mine", joint_colors(TWO_HANDS)))
        assert model.dataset_meta["num_keypoints"] == 14


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, [[1, 1]]),
        ({"one_of_two_hands": False, "hand_type": np.array([[0.0, 1.0]])}, [[1, 1]]),
        ({"one_of_two_hands": True, "hand_type": np.array([[0.0, 1.0]])}, [[0, 1]]),
    ],
)
def test_pictures_without_gt_have_what_mmposes_hand_inferencer_reads(images, make_samples, meta, expected):
    model, samples = MODELS.build(config(head={"num_joints": 21})).eval(), make_samples(2, num_joints=21)
    samples[1].gt_instances.keypoints = np.zeros((1, 21, 3))
    for sample in samples:
        sample.set_metainfo(meta)
    with torch.no_grad():
        without, with_gt = (sample.pred_instances for sample in model(images, samples, mode="predict"))
    assert without.hand_type.tolist() == expected
    assert without.rel_root_depth.tolist() == [0]
    assert not {"hand_type", "rel_root_depth"} & set(with_gt.keys())  # metrics would take them for predictions
