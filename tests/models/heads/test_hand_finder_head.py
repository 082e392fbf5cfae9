"""The head that finds hands: boxes of its maps by hand, losses, overfitting, predictions on the picture."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import dfmamba.models.heads  # noqa: F401, registers the head
from dfmamba.codecs.hand_box import HandBoxCodec
from dfmamba.hand_boxes import overlap

CHANNELS, SIZE, CELLS = 6, (64, 48), (8, 6)
CODEC = {"type": "HandBoxCodec", "input_size": SIZE, "map_size": CELLS}


def make_head(**changes):
    torch.manual_seed(0)
    return MODELS.build(
        {"type": "HandFinderHead", "in_channels": [CHANNELS], "hidden_channels": 16, "decoder": CODEC, **changes}
    )


def feature_map(batch=2):
    return (torch.randn(batch, CHANNELS, *CELLS[::-1], generator=torch.Generator().manual_seed(1)),)


def sample_of(points, valid, hand_type=None):
    targets = HandBoxCodec(SIZE, CELLS).encode(points, valid, hand_type)
    targets = {name: torch.from_numpy(target) for name, target in targets.items()}
    sample = PoseDataSample(
        gt_fields=PixelData(heatmaps=targets.pop("heatmaps"), heatmap_weights=targets.pop("heatmap_weights"))
    )
    sample.gt_instance_labels = InstanceData(**targets)
    return sample


def samples():
    """Two pictures, each with a right hand in one half and a left hand in the other."""
    rng, both = np.random.default_rng(0), []
    for right, left in ((3, 40), (38, 5)):
        corners = np.array([[right, rng.uniform(5, 25)], [left, rng.uniform(5, 25)]])
        joints = rng.uniform(0, 15, (1, 42, 2)) + np.repeat(corners, 21, axis=0)
        both.append(sample_of(joints, np.ones((1, 42))))
    return both


def test_boxes_are_distances_from_the_middle_of_the_cell():
    head = make_head()
    with torch.no_grad():
        head.distances[-1].weight.zero_()
        head.distances[-1].bias.copy_(torch.tensor([0, 1, -1, 9, 0, 0, 0, 0]))
        heatmaps, boxes = head(feature_map())
    assert heatmaps.shape == (2, 2, 6, 8)
    assert boxes.shape == (2, 2, 4, 6, 8)
    x, y = 3 * 8 + 4, 2 * 8 + 4
    expected = [x - 64, y - 64 * math.e, x + 64 / math.e, y + 64 * math.exp(3)]  # no box is larger
    torch.testing.assert_close(boxes[1, 0, :, 2, 3], torch.tensor(expected))
    torch.testing.assert_close(boxes[0, 1, :, 2, 3], torch.tensor([x - 64.0, y - 64, x + 64, y + 64]))


def test_the_loss_of_boxes_by_hand():
    """One hand whose box is wrong in all cells by the same: 1 - generalised overlap, times its weight."""
    head = make_head(box_loss_weight=3.0)
    points, valid = np.zeros((1, 42, 2)), np.zeros((1, 42))
    points[0, :21], valid[0, :21] = np.linspace((10, 10), (30, 20), 21), 1  # box 8, 9, 32, 21
    sample = sample_of(points, valid, np.array([[1.0, 0.0]]))
    boxes = torch.tensor([32.0, 9, 56, 21])[:, None, None].expand(1, 2, 4, *CELLS[::-1])
    head.forward = lambda feats: (torch.full((1, 2, *CELLS[::-1]), 0.02), boxes)
    losses = head.loss(feature_map(1), [sample])
    # They touch: no overlap, union as large as the box around both.
    torch.testing.assert_close(losses["loss_box"], torch.tensor(3.0))
    assert losses["overlap"] == 0
    true = torch.tensor([8.0, 9, 32, 21])[:, None, None].expand(1, 2, 4, *CELLS[::-1])
    head.forward = lambda feats: (torch.full((1, 2, *CELLS[::-1]), 0.02), true)
    losses = head.loss(feature_map(1), [sample])
    torch.testing.assert_close(losses["loss_box"], torch.tensor(0.0), atol=1e-6, rtol=0)
    assert losses["overlap"] == 1


def test_a_picture_without_hands_teaches_that_there_are_none():
    head = make_head()
    nothing = sample_of(np.zeros((1, 42, 2)), np.zeros((1, 42)), np.zeros((1, 2)))
    losses = head.loss(feature_map(1), [nothing])
    assert losses["loss_box"] == 0
    assert losses["loss_heatmap"] > 0
    unknown = sample_of(np.zeros((1, 42, 2)), np.zeros((1, 42)), np.ones((1, 2)))
    assert head.loss(feature_map(1), [unknown])["loss_heatmap"] == 0


def test_it_learns_two_pictures_by_heart():
    head, feats, batch = make_head(), feature_map(), samples()
    optimizer = torch.optim.Adam(head.parameters(), 0.02)
    for _ in range(150):
        losses = head.loss(feats, batch)
        optimizer.zero_grad()
        sum(loss for name, loss in losses.items() if "loss" in name).backward()
        optimizer.step()
    head.eval()
    head.decoder.min_score = 0.4
    for found, sample in zip(head.predict(feats, batch), batch, strict=True):
        assert sorted(found.labels) == [0, 1]
        true = sample.gt_instance_labels.hand_boxes[0].numpy()
        for box, side in zip(found.bboxes, found.labels, strict=True):
            assert overlap(box, true[[side]]) > 0.7


def test_wrong_settings_get_one_clear_line():
    with pytest.raises(ValueError, match="FeatureFusionNeck makes one map"):
        make_head(in_channels=[4, 8])
    with pytest.raises(ValueError, match="heatmap_prior"):
        make_head(heatmap_prior=1.0)
    with pytest.raises(ValueError, match="flip_test"):
        make_head().predict(feature_map(), [], {"flip_test": True})
