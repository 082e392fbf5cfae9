"""The DetNet head: published sizes, the cascade written out, read-out by hand, losses, predictions, overfitting."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch.nn.functional import batch_norm, conv2d

import dfmamba.codecs  # noqa: F401, registers the codec
from dfmamba.codecs.detnet import DetNetCodec
from dfmamba.models.heads.detnet import DetNetHead, coordinate_channels
from dfmamba.models.heads.detnet_losses import heatmap_loss, vector_loss
from dfmamba.skeleton import HAND_JOINTS, NYU_14

WRIST, MIDDLE1 = HAND_JOINTS.index("wrist"), HAND_JOINTS.index("middle1")
CHANNELS, CELLS, CROP = 6, 8, 32
CODEC = {"type": "DetNetCodec", "input_size": (CROP, CROP), "map_size": (CELLS, CELLS)}


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are fastest with one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_head(**changes):
    torch.manual_seed(0)
    return MODELS.build(
        {"type": "DetNetHead", "in_channels": [CHANNELS], "hidden_channels": 16, "decoder": CODEC, **changes}
    )


def feature_map(batch=2, seed=0):
    return (torch.randn(batch, CHANNELS, CELLS, CELLS, generator=torch.Generator().manual_seed(seed)),)


def make_samples(batch, visible=1.0):
    """Return samples with the codec's targets of random hands."""
    codec, rng, samples = DetNetCodec(CODEC["input_size"], CODEC["map_size"]), np.random.default_rng(0), []
    for _ in range(batch):
        cam = rng.uniform((-80, -80, 500), (80, 80, 600), (1, 21, 3))
        targets = codec.encode(rng.uniform(0, CROP, (1, 21, 2)), np.full((1, 21), visible), cam)
        targets = {name: torch.from_numpy(target) for name, target in targets.items()}
        sample = PoseDataSample(gt_fields=PixelData(heatmaps=targets.pop("heatmaps")))
        sample.gt_instance_labels = InstanceData(**targets)
        sample.set_metainfo({"bone_length": codec.bone_length(cam).astype(np.float32)})
        samples.append(sample)
    return samples


def total(losses):
    return losses["loss_heatmap"] + losses["loss_delta"] + losses["loss_location"]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_are_those_of_the_published_heads():
    head = DetNetHead(in_channels=[256])
    assert count(head.heatmap) == 600_341
    assert count(head.delta) == 659_519
    assert count(head.location) == 804_671
    assert count(head) == 2_064_531
    assert count(DetNetHead(in_channels=[256], num_joints=42)) == 2_344_230


class TestForward:
    def test_coordinates_run_from_one_border_to_the_other(self):
        maps = coordinate_channels(torch.zeros(2, 4, 3, 5, dtype=torch.float64))
        assert maps.shape == (2, 2, 3, 5)
        assert maps.dtype == torch.float64
        assert maps[1, 0].tolist() == [[-1, -0.5, 0, 0.5, 1]] * 3
        assert maps[1, 1].tolist() == [[-1] * 5, [0] * 5, [1] * 5]

    def test_equals_the_cascade_written_out(self):
        head, (x,) = tiny_head().eval(), feature_map()
        for buffer in head.buffers():  # statistics that do something
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2)

        def stage(part, x):
            project, norm, _, predict = part
            x = conv2d(x, project.weight, padding=1)
            x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5).clamp(min=0)
            return torch.einsum("oi,bihw->bohw", predict.weight[:, :, 0, 0], x) + predict.bias[:, None, None]

        ramp = torch.linspace(-1, 1, CELLS)
        columns, rows = ramp.expand(2, 1, CELLS, CELLS), ramp[:, None].expand(2, 1, CELLS, CELLS)
        with_grid = torch.cat([x, columns, rows], 1)
        heatmaps = 1 / (1 + torch.exp(-stage(head.heatmap, with_grid)))
        delta = stage(head.delta, torch.cat([with_grid, heatmaps], 1))
        location = stage(head.location, torch.cat([with_grid, heatmaps, delta], 1))
        for got, expected in zip(head((x,)), (heatmaps, delta, location), strict=True):
            torch.testing.assert_close(got, expected)

    def test_shapes_follow_the_map(self):
        heatmaps, delta, location = tiny_head()((torch.zeros(2, CHANNELS, 5, 7),))
        assert (heatmaps.shape, delta.shape, location.shape) == ((2, 21, 5, 7), (2, 63, 5, 7), (2, 63, 5, 7))

    def test_autocast_gives_float32(self):
        with torch.autocast("cpu", torch.bfloat16):
            maps = tiny_head()(feature_map())
        assert {part.dtype for part in maps} == {torch.float32}

    @pytest.mark.parametrize("start", [0.02, 0.5])
    def test_untrained_maps(self, start):
        heatmaps, delta, location = tiny_head(heatmap_prior=start)(feature_map())
        assert heatmaps.mean().item() == pytest.approx(start, rel=0.1)
        assert delta.abs().max() < 0.3
        assert location.abs().max() < 0.3

    @pytest.mark.parametrize("start", [0, 1])
    def test_maps_cannot_start_where_the_sigmoid_does_not_get(self, start):
        with pytest.raises(ValueError, match=f"heatmap_prior: expected a number between 0 and 1, got {start}"):
            tiny_head(heatmap_prior=start)

    def test_more_than_one_map_is_refused(self):
        with pytest.raises(ValueError, match=r"expected one number.*FeatureFusionNeck"):
            tiny_head(in_channels=[4, 8])
        with pytest.raises(ValueError, match="feats: expected one map, got 2"):
            tiny_head()(feature_map() * 2)


class TestPredict:
    @pytest.fixture
    def known_maps(self, monkeypatch):
        """A head whose maps have joint j's peak in column j % 8, row j // 8, with location (j, 2 j, -j) / 10 there."""
        head = tiny_head()
        heatmaps, location = torch.zeros(1, 21, CELLS, CELLS), torch.full((1, 63, CELLS, CELLS), 99.0)
        for joint in range(21):
            heatmaps[0, joint, joint // CELLS, joint % CELLS] = 0.5 + joint / 100
            vector = torch.tensor([1.0, 2, -1]) * joint / 10
            location[0, 3 * joint : 3 * joint + 3, joint // CELLS, joint % CELLS] = vector
        monkeypatch.setattr(head, "forward", lambda feats: (heatmaps, torch.zeros_like(location), location))
        return head

    def test_read_out_by_hand(self, known_maps):
        sample = make_samples(1)[0]
        sample.set_metainfo({"bone_length": np.array([90.0])})
        (prediction,) = known_maps.predict(feature_map(1), [sample])
        # locations relative to the wrist, joint 20; the bone from there to joint 11 has |(0.9, 1.8, -0.9)| units
        locations = (np.arange(21)[:, None] - 20) / 10 * [1, 2, -1]
        unit = np.linalg.norm([0.9, 1.8, -0.9])
        assert (WRIST, MIDDLE1) == (20, 11)
        np.testing.assert_allclose(prediction.keypoints_scale_free[0], locations / unit, rtol=1e-5)
        np.testing.assert_allclose(prediction.keypoints_cam[0], locations / unit * 90, rtol=1e-5)
        np.testing.assert_allclose(prediction.keypoints[0, :, 2], locations[:, 2] / unit * 90, rtol=1e-5)
        # a cell has 4 pixels
        np.testing.assert_allclose(prediction.keypoints[0, 13, :2], [5 * 4 + 1.5, 1 * 4 + 1.5])
        np.testing.assert_allclose(prediction.keypoint_scores[0], 0.5 + np.arange(21) / 100, rtol=1e-6)

    def test_the_bone_has_its_true_length(self):
        samples = make_samples(3)
        predictions = tiny_head().eval().predict(feature_map(3), samples)
        for prediction, sample in zip(predictions, samples, strict=True):
            bone = np.linalg.norm(prediction.keypoints_cam[0, WRIST] - prediction.keypoints_cam[0, MIDDLE1])
            assert bone == pytest.approx(sample.bone_length.item(), rel=1e-4)

    def test_nyus_joints_are_relative_to_the_root(self):
        codec = {**CODEC, "num_joints": 14, "root": "palm", "bone": ["wrist", "middle_mid"]}
        prediction = tiny_head(decoder=codec, num_joints=14).eval().predict(feature_map(1), make_samples(1))[0]
        assert prediction.keypoints.shape == prediction.keypoints_cam.shape == (1, 14, 3)
        palm, wrist, middle = (NYU_14.names.index(name) for name in ("palm", "wrist", "middle_mid"))
        assert not prediction.keypoints_cam[0, palm].any()
        bone = np.linalg.norm(prediction.keypoints_scale_free[0, wrist] - prediction.keypoints_scale_free[0, middle])
        assert bone == pytest.approx(1, rel=1e-4)

    def test_a_length_of_the_heads_own_wins(self):
        prediction = tiny_head(bone_length=90.0).eval().predict(feature_map(1), [PoseDataSample()])[0]
        assert np.linalg.norm(prediction.keypoints_cam[0, MIDDLE1]) == pytest.approx(90, rel=1e-4)

    def test_gt_in_gt_out(self, monkeypatch):
        """Predictions from the codec's own targets are the joints: in the plane to half a cell, in space exactly."""
        head, codec = tiny_head(), DetNetCodec(CODEC["input_size"], CODEC["map_size"])
        rng = np.random.default_rng(1)
        points, cam = rng.uniform(0, CROP - 1, (1, 21, 2)), rng.uniform((-80, -80, 500), (80, 80, 600), (1, 21, 3))
        targets = codec.encode(points, None, cam)
        maps = torch.from_numpy(targets["locations"]).reshape(1, 63, 1, 1).expand(-1, -1, CELLS, CELLS)
        heatmaps = torch.from_numpy(targets["heatmaps"])[None]
        monkeypatch.setattr(head, "forward", lambda feats: (heatmaps, maps, maps))
        sample = PoseDataSample(metainfo={"bone_length": codec.bone_length(cam)})
        prediction = head.predict(feature_map(1), [sample])[0]
        np.testing.assert_allclose(prediction.keypoints[..., :2], points, atol=2.0001)
        np.testing.assert_allclose(prediction.keypoints_cam, cam - cam[:, [WRIST]], atol=1e-3)
        np.testing.assert_allclose(prediction.keypoints[..., 2], (cam - cam[:, [WRIST]])[..., 2], atol=1e-3)

    def test_the_codec_must_have_as_many_joints(self):
        with pytest.raises(ValueError, match="num_joints: expected that of the codec, 21, got 14"):
            tiny_head(num_joints=14)

    @pytest.mark.parametrize(
        ("changes", "test_cfg", "message"),
        [
            ({}, {"flip_test": True}, "flip_test: expected False"),
            ({"decoder": None}, {}, "decoder: expected the config of a DetNetCodec"),
            ({}, {}, "bone_length: expected the length of the reference bone.*AddBoneLength"),
        ],
    )
    def test_what_is_missing_is_named(self, changes, test_cfg, message):
        with pytest.raises(ValueError, match=message):
            tiny_head(**changes).predict(feature_map(1), [PoseDataSample()], test_cfg)


class TestLoss:
    def test_equals_its_parts(self):
        head, samples = tiny_head(), make_samples(2)
        samples[1].gt_instance_labels.location_weights[0, 3] = 0
        losses = head.loss(feature_map(), samples)
        heatmaps, delta, location = head(feature_map())
        labels = {
            name: torch.cat([s.gt_instance_labels[name] for s in samples])
            for name in samples[0].gt_instance_labels.keys()  # noqa: SIM118, not a dictionary
        }
        true_heatmaps = torch.stack([s.gt_fields.heatmaps for s in samples])
        delta, location = (maps.reshape(2, 21, 3, CELLS, CELLS) for maps in (delta, location))
        expected = {
            "loss_heatmap": 100 * heatmap_loss(heatmaps, true_heatmaps, labels["keypoint_weights"]),
            "loss_delta": vector_loss(delta, labels["deltas"], true_heatmaps, labels["delta_weights"]),
            "loss_location": 10 * vector_loss(location, labels["locations"], true_heatmaps, labels["location_weights"]),
        }
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value)

    def test_errors_are_those_of_the_read_out(self):
        head, samples = tiny_head().eval(), make_samples(2)
        samples[0].gt_instance_labels.location_weights[0, 5] = 0
        samples[0].gt_instance_labels.keypoint_weights[0, 5] = 0
        losses = head.loss(feature_map(), samples)
        heatmaps, _, location = (maps.detach().numpy() for maps in head(feature_map()))
        cells, bones = [], []
        for number, sample in enumerate(samples):
            for joint in range(21):
                if sample.gt_instance_labels.keypoint_weights[0, joint] == 0:
                    continue
                row, column = np.unravel_index(heatmaps[number, joint].argmax(), (CELLS, CELLS))
                true_heatmaps = sample.gt_fields.heatmaps[joint].numpy()
                true_row, true_column = np.unravel_index(true_heatmaps.argmax(), (CELLS, CELLS))
                cells.append(np.hypot(row - true_row, column - true_column))
                vector = location[number, 3 * joint : 3 * joint + 3, row, column]
                bones.append(np.linalg.norm(vector - sample.gt_instance_labels.locations[0, joint].numpy()))
        assert losses["error_cells"].item() == pytest.approx(np.mean(cells), rel=1e-5)
        assert losses["error_bones"].item() == pytest.approx(np.mean(bones), rel=1e-5)
        assert not losses["error_cells"].requires_grad
        assert not losses["error_bones"].requires_grad

    def test_every_parameter_and_the_features_get_a_gradient(self):
        head, (x,) = tiny_head(), feature_map()
        x.requires_grad_()
        total(head.loss((x,), make_samples(2))).backward()
        without = {name for name, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
        assert not without
        assert x.grad.abs().sum() > 0

    def test_nothing_that_counts_gives_zero(self):
        head = tiny_head()
        losses = head.loss(feature_map(), make_samples(2, visible=0.0))
        assert [value.item() for value in losses.values()] == [0] * 5
        total(losses).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())

    def test_maps_of_another_size_are_refused(self):
        with pytest.raises(ValueError, match=r"codec's shape \(1, 21, 8, 8\), got \(1, 21, 4, 4\) \(see map_size"):
            tiny_head().loss((torch.zeros(1, CHANNELS, 4, 4),), make_samples(1))

    def test_two_samples_can_be_learnt(self):
        head, feats, samples = tiny_head(hidden_channels=64), feature_map(), make_samples(2)
        optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
        history = []
        for _ in range(120):
            losses = head.loss(feats, samples)
            optimizer.zero_grad()
            total(losses).backward()
            optimizer.step()
            history.append(losses)
        assert total(history[-1]) < 0.05 * total(history[0])
        assert history[-1]["error_cells"] < 0.2
        assert history[-1]["error_bones"] < 0.2 * history[0]["error_bones"]
