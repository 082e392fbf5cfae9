"""The A2J head: published sizes, anchors, their weights by hand, losses and predictions through mmpose's samples."""

import math

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS
from torch import nn

import dfmamba.codecs  # noqa: F401, registers the codec
from dfmamba.models.heads import A2JHead

CHANNELS = (8, 12)
TINY = {
    "in_channels": CHANNELS,
    "num_joints": 3,
    "input_size": (64, 64),
    "embed_dims": 16,
    "num_heads": 2,
    "num_points": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "feedforward_channels": 32,
    "dropout": 0.0,
    "decoder": {"type": "A2JCodec", "input_size": (64, 64)},
}


def tiny_head(**changes):
    torch.manual_seed(0)
    return MODELS.build({"type": "A2JHead", **TINY, **changes})


def feature_maps(batch=2, channels=CHANNELS, width=8, height=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(batch, c, height // 2**level, width // 2**level, generator=generator)
        for level, c in enumerate(channels)
    )


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


class TestPublishedSizes:
    """Numbers counted on the released code without its dead weights."""

    ANCHOR_NUMBERS = 768 * 3

    def test_four_native_levels(self):
        head = A2JHead(in_channels=[160, 320, 640, 640], num_extra_levels=0)
        assert count(head.projections) == 453_632
        assert count(head.transformer) == 10_961_408
        assert count(head.offset_mlps) == 983_796
        assert count(head.weight_mlps) == 854_268
        assert head.queries.numel() == 768 * 256 == 196_608
        assert head.anchors.numel() == self.ANCHOR_NUMBERS == 2_304
        assert head.queries.numel() + head.anchors.numel() == 198_912
        # the published total counts the anchors, because the released code keeps them in a parameter
        assert count(head) + head.anchors.numel() == 13_452_016

    def test_resnet_with_one_extra_level(self):
        head = A2JHead(in_channels=[512, 1024, 2048])
        assert count(head.extra_projections) == 4_719_360
        assert count(head.projections, head.extra_projections) == 5_639_168
        assert count(head) + head.anchors.numel() == 18_637_552

    def test_one_hand(self):
        head = A2JHead(in_channels=[512, 1024, 2048], num_joints=21)
        assert count(head.offset_mlps) == 886_650
        assert count(head.weight_mlps) == 821_886

    def test_learnable_anchors_are_counted(self):
        head = A2JHead(in_channels=[160, 320, 640, 640], num_extra_levels=0, learnable_anchors=True)
        assert count(head) == 13_452_016


class TestAnchors:
    def test_values_and_order(self):
        anchors = A2JHead(in_channels=[8], embed_dims=16, num_heads=2).anchors.tolist()
        assert len(anchors) == 16 * 16 * 3
        assert anchors[:4] == [[7.5, 7.5, 63.5], [7.5, 7.5, 127.5], [7.5, 7.5, 191.5], [23.5, 7.5, 63.5]]
        row, column, depth = 2, 5, 1
        assert anchors[(row * 16 + column) * 3 + depth] == [7.5 + 16 * column, 7.5 + 16 * row, 127.5]
        assert anchors[-1] == [247.5, 247.5, 191.5]

    def test_smaller_crops_have_fewer(self):
        head = tiny_head(input_size=(96, 64), decoder=None, anchor_stride=32, first_anchor=15.5, anchor_depths=(100,))
        assert head.anchors.tolist() == [[x, y, 100] for y in (15.5, 47.5) for x in (15.5, 47.5, 79.5)]

    def test_whole_numbers_in_the_config_do_not_round_the_depths(self):
        head = tiny_head(input_size=(32, 32), decoder=None, anchor_stride=32, first_anchor=16, anchor_depths=(63.5,))
        assert head.anchors.tolist() == [[16, 16, 63.5]]

    def test_are_a_buffer_in_the_checkpoint(self):
        head = tiny_head()
        assert "anchors" in head.state_dict()
        assert "anchors" not in dict(head.named_parameters())

    def test_learnable_ones_get_a_gradient(self, make_samples):
        head = tiny_head(learnable_anchors=True)
        head.loss(feature_maps(), make_samples(2))["loss_anchor"].backward()
        assert head.anchors.grad.abs().sum() > 0


class Constant(nn.Module):
    """Stands for an output MLP: one row for each anchor."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, queries):
        return self.rows.expand(len(queries), -1, -1)


@pytest.fixture
def two_anchors():
    """Return a head with anchors (7.5, 7.5, 100) and (23.5, 7.5, 100), 2 joints and known output."""
    head = tiny_head(
        num_joints=2, input_size=(32, 16), anchor_depths=(100.0,), decoder={"type": "A2JCodec", "input_size": (32, 16)}
    )
    # the first joint weighs the anchors 3 : 1, the second 1 : 1
    head.weight_mlps[-1] = Constant([[math.log(3), 5.0], [0.0, 5.0]])
    # in units of (32, 16, 256): the second anchor moves the first joint by (8, 4, 64), the second joint by (-16, 0, 0)
    head.offset_mlps[-1] = Constant([[0.0] * 6, [0.25, 0.25, 0.25, -0.5, 0.0, 0.0]])
    return head.eval()


class TestVotes:
    def test_softmax_runs_over_the_anchors(self, two_anchors):
        weights, _ = two_anchors.anchor_predictions(torch.zeros(1, 2, 16), layer=-1)
        torch.testing.assert_close(weights, torch.tensor([[[0.75, 0.5], [0.25, 0.5]]]))

    def test_joints_by_hand(self, two_anchors):
        joints, _ = two_anchors(feature_maps(1, width=4, height=2))
        first = [0.75 * 7.5 + 0.25 * (23.5 + 8), 0.75 * 7.5 + 0.25 * (7.5 + 4), 0.75 * 100 + 0.25 * (100 + 64)]
        torch.testing.assert_close(joints, torch.tensor([[first, [7.5, 7.5, 100.0]]]))

    def test_scores_measure_how_far_the_predictions_are_apart(self, two_anchors):
        _, scores = two_anchors(feature_maps(1, width=4, height=2))
        # positions of weight 0.75 and 0.25 at distance d have the standard deviation sqrt(0.75 * 0.25) d
        distance = math.dist((7.5, 7.5, 100), (31.5, 11.5, 164))
        expected = [math.exp(-math.sqrt(0.75 * 0.25) * distance / 16), 1.0]
        torch.testing.assert_close(scores, torch.tensor([expected]))

    def test_predictions_are_in_px_and_mm(self, two_anchors):
        (prediction,) = two_anchors.predict(feature_maps(1, width=4, height=2), [])
        np.testing.assert_allclose(prediction.keypoints[0, 1], [7.5, 7.5, (100 - 128) * 1.5625], rtol=1e-6)
        assert prediction.keypoints.shape == (1, 2, 3)
        assert prediction.keypoint_scores.shape == (1, 2)

    def test_training_starts_at_the_center_of_the_anchors(self):
        joints, _ = tiny_head()(feature_maps())
        center = torch.tensor([31.5, 31.5, 127.5]).expand(2, 3, 3)
        torch.testing.assert_close(joints, center, rtol=0.02, atol=0)


def test_extra_levels_read_the_raw_last_map_and_then_each_other(monkeypatch):
    head, levels = tiny_head(num_extra_levels=2), []
    monkeypatch.setattr(head.transformer, "forward", lambda maps, *_: levels.extend(maps))
    feats = feature_maps()
    head.decode_queries(feats)
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 8), (4, 4), (2, 2), (1, 1)]
    torch.testing.assert_close(levels[2], head.extra_projections[0](feats[-1]))
    torch.testing.assert_close(levels[3], head.extra_projections[1](levels[2]))


class TestFlipTest:
    def test_average_by_hand(self, make_samples):
        head = tiny_head().eval()
        for parameter in head.offset_mlps.parameters():  # predictions that differ visibly
            nn.init.normal_(parameter, std=0.1)
        feats, mirrored = feature_maps(seed=1), feature_maps(seed=2)
        samples = make_samples(2)  # flip_indices 2, 1, 0
        plain = [p.keypoints for p in head.predict(feats, samples)]
        other = [p.keypoints for p in head.predict(mirrored, samples)]
        averaged = head.predict([feats, mirrored], samples, {"flip_test": True})
        for image, (a, b) in enumerate(zip(plain, other, strict=True)):
            expected = np.empty_like(a)
            for joint in range(3):
                x, y, z = b[0, 2 - joint]
                expected[0, joint] = (a[0, joint] + (63 - x, y, z)) / 2
            np.testing.assert_allclose(averaged[image].keypoints, expected, rtol=1e-5)

    def test_prediction_on_its_own_mirror_image_changes_nothing(self, make_samples, monkeypatch):
        head, samples = tiny_head(), make_samples(1)
        joints, scores = torch.tensor([[[10.0, 20, 100], [20, 30, 110], [30, 40, 90]]]), torch.tensor([[0.1, 0.2, 0.3]])
        mirrored = torch.stack([63 - joints[..., 0], joints[..., 1], joints[..., 2]], dim=-1)
        outputs = {"image": (joints, scores), "mirror": (mirrored.flip(1), scores.flip(1))}
        monkeypatch.setattr(head, "forward", outputs.get)
        plain = head.predict("image", samples)
        averaged = head.predict(["image", "mirror"], samples, {"flip_test": True})
        np.testing.assert_allclose(averaged[0].keypoints, plain[0].keypoints)
        np.testing.assert_allclose(averaged[0].keypoint_scores, plain[0].keypoint_scores)


class TestLoss:
    def test_every_parameter_gets_a_gradient(self, make_samples):
        head = tiny_head()
        for parameter in head.parameters():  # at first deformable attention ignores its queries: its matrices are zero
            parameter.data += 0.01 * torch.randn_like(parameter)
        losses = head.loss(feature_maps(), make_samples(2))
        (losses["loss_anchor"] + losses["loss_regression"]).backward()
        without = {name for name, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        assert not without
        assert head.anchors.grad is None

    def test_errors_of_the_last_layer_are_logged(self, make_samples):
        head, samples = tiny_head(), make_samples(2)
        samples[0].gt_instance_labels.keypoint_weights[0, 1] = 0
        losses = head.loss(feature_maps(), samples)
        joints, _ = head(feature_maps())
        difference = (joints - torch.cat([s.gt_instance_labels.keypoint_labels for s in samples])).detach()
        difference = difference.reshape(6, 3)[[0, 2, 3, 4, 5]]
        torch.testing.assert_close(losses["error_xy_px"], torch.hypot(*difference[:, :2].T).mean())
        torch.testing.assert_close(losses["error_z_mm"], difference[:, 2].abs().mean() * 1.5625)
        assert not losses["error_xy_px"].requires_grad
        assert not losses["error_z_mm"].requires_grad

    def test_weights_of_the_two_losses(self, make_samples):
        feats, samples = feature_maps(), make_samples(2)
        default = tiny_head().loss(feats, samples)
        ones = tiny_head(anchor_loss_weight=2.0, regression_loss_weight=1.0).loss(feats, samples)
        torch.testing.assert_close(2 * default["loss_anchor"], ones["loss_anchor"])
        torch.testing.assert_close(default["loss_regression"], 3 * ones["loss_regression"])

    def test_no_joint_that_counts_gives_zero(self, make_samples):
        head = tiny_head()
        losses = head.loss(feature_maps(), make_samples(2, weight=0.0))
        assert [value.item() for value in losses.values()] == [0, 0, 0, 0]
        (losses["loss_anchor"] + losses["loss_regression"]).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())

    def test_one_sample_can_be_learnt(self, make_samples):
        head, feats, samples = tiny_head(), feature_maps(1), make_samples(1)
        optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
        history = []
        for _ in range(60):
            losses = head.loss(feats, samples)
            optimizer.zero_grad()
            (losses["loss_anchor"] + losses["loss_regression"]).backward()
            optimizer.step()
            history.append(losses)
        assert history[-1]["loss_anchor"] < 0.8 * history[0]["loss_anchor"]
        assert history[-1]["loss_regression"] < 0.05 * history[0]["loss_regression"]
        assert history[-1]["error_xy_px"] < 3


class TestHandPresence:
    """The hands that are there, right and left, from the mean of the last map."""

    @pytest.fixture
    def head(self):
        return tiny_head(num_joints=42, presence_loss_weight=2.0)

    @staticmethod
    def samples(make_samples, hands, valid=(1, 1)):
        found = make_samples(2, num_joints=42)
        for sample, there, may_be_used in zip(found, hands, valid, strict=True):
            sample.set_metainfo(
                {
                    "hand_type": np.array([there], dtype=np.float32),
                    "hand_type_valid": np.array([may_be_used], dtype=np.float32),
                    "flip_indices": [*range(21, 42), *range(21)],
                }
            )
        return found

    def logits(self, head, feats):
        first, last = (layer for layer in head.hand_presence.modules() if isinstance(layer, nn.Linear))
        return last(first(feats[-1].mean((2, 3))).relu())

    def test_loss_by_hand(self, head, make_samples):
        feats, hands = feature_maps(), [[1, 0], [1, 1]]
        p = torch.sigmoid(self.logits(head, feats))
        right = -torch.log(torch.stack([p[0, 0], 1 - p[0, 1], p[1, 0], p[1, 1]]))
        loss = head.loss(feats, self.samples(make_samples, hands))["loss_presence"]
        torch.testing.assert_close(loss, 2 * right.mean())
        loss = head.loss(feats, self.samples(make_samples, hands, valid=(0, 1)))["loss_presence"]
        torch.testing.assert_close(loss, 2 * right[2:].mean())
        assert head.loss(feats, self.samples(make_samples, hands, valid=(0, 0)))["loss_presence"] == 0

    def test_predictions_have_probabilities(self, head, make_samples):
        feats, mirrored = feature_maps(), feature_maps(seed=1)
        samples = self.samples(make_samples, [[1, 0], [1, 1]])
        found = [one.hand_type for one in head.predict(feats, samples)]
        expected = torch.sigmoid(self.logits(head, feats))
        np.testing.assert_allclose(np.concatenate(found), expected.detach(), rtol=1e-5)
        found = [one.hand_type for one in head.predict([feats, mirrored], samples, {"flip_test": True})]
        swapped = torch.sigmoid(self.logits(head, mirrored))[:, [1, 0]]
        np.testing.assert_allclose(np.concatenate(found), ((expected + swapped) / 2).detach(), rtol=1e-5)

    def test_is_off_by_default(self, make_samples):
        head = tiny_head(num_joints=42)
        assert not [name for name, _ in head.named_parameters() if "presence" in name]
        assert "hand_type" not in head.predict(feature_maps(), make_samples(2, num_joints=42))[0]

    def test_mistakes(self, head, make_samples):
        with pytest.raises(ValueError, match="presence_loss_weight: expected 0 for a head of 21 joints"):
            tiny_head(num_joints=21, presence_loss_weight=1.0)
        with pytest.raises(ValueError, match="hand_type: expected it among the meta keys"):
            head.loss(feature_maps(), make_samples(2, num_joints=42))


class TestShapesAndTypes:
    @pytest.mark.parametrize("channels", [(8,), (8, 12), (4, 8, 12)])
    @pytest.mark.parametrize("num_extra_levels", [0, 1, 2])
    def test_any_number_of_levels(self, make_samples, channels, num_extra_levels):
        head = tiny_head(in_channels=channels, num_extra_levels=num_extra_levels)
        assert all(torch.isfinite(value) for value in head.loss(feature_maps(2, channels), make_samples(2)).values())

    @pytest.mark.parametrize("num_joints", [21, 42])
    def test_crops_that_are_not_square(self, make_samples, num_joints):
        size = (96, 64)
        head = tiny_head(num_joints=num_joints, input_size=size, decoder={"type": "A2JCodec", "input_size": size})
        assert len(head.anchors) == 6 * 4 * 3
        feats, samples = feature_maps(width=12), make_samples(2, num_joints, size)
        assert all(torch.isfinite(value) for value in head.loss(feats, samples).values())
        assert head(feats)[0].shape == (2, num_joints, 3)

    def test_double(self, make_samples):
        head, feats = tiny_head().double(), tuple(feat.double() for feat in feature_maps())
        joints, scores = head(feats)
        assert joints.dtype == scores.dtype == torch.double
        torch.testing.assert_close(joints.float(), tiny_head()(feature_maps())[0])
        head.loss(feats, make_samples(2))["loss_anchor"].backward()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_keeps_coordinates_in_float32(self, make_samples, dtype):
        head, feats = tiny_head(), feature_maps()
        with torch.autocast("cpu", dtype):
            losses = head.loss(feats, make_samples(2))
            joints, scores = head(feats)
            predictions = head.predict(feats, make_samples(2))
        assert {value.dtype for value in (*losses.values(), joints, scores)} == {torch.float32}
        (losses["loss_anchor"] + losses["loss_regression"]).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())
        torch.testing.assert_close(joints, head(feats)[0], rtol=0.02, atol=0)
        assert predictions[0].keypoints.dtype == np.float32


class TestMistakes:
    def test_channels_of_the_transformer(self):
        with pytest.raises(ValueError, match="embed_dims: expected a multiple of 8, got 20"):
            tiny_head(embed_dims=20)

    def test_number_of_maps(self):
        with pytest.raises(ValueError, match=r"feats: expected 2 maps.*\(8, 12\), got 1"):
            tiny_head()(feature_maps()[:1])

    def test_codec_with_another_crop(self):
        with pytest.raises(ValueError, match=r"decoder: expected .*\(64, 64, 256\), got \(256, 256, 256\)"):
            tiny_head(decoder={"type": "A2JCodec"})
