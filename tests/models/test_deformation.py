import json

import pytest
import torch
from mmengine.config import Config

from dfmamba.engine.hooks.deformation import FILE_NAME, DeformationHook
from dfmamba.models.backbones import DFMamba
from dfmamba.models.deformation import deformation_of, watch_deformation
from dfmamba.models.layers.dssm import DSSM


def test_undeformed_points_of_a_3x3_map_worked_out_by_hand():
    """Of the 81 points of K = 9, the corners' anchors have 5 outside each, the edges' 3, the middle's none: 32."""
    offset, weight = torch.zeros(2, 9, 1, 9, 2), torch.zeros(2, 9, 1, 9)
    weight[..., 4] = 1.0
    found = deformation_of(offset, weight, (3, 3))
    assert found.off_the_map == found.off_the_undeformed_map == pytest.approx(32 / 81)
    assert (found.mean_offset_px, found.largest_offset_px) == (0, 0)
    assert (found.center_weight, found.other_weight) == (1, 0)


def test_offsets_and_weights_worked_out_by_hand():
    """One row of four tokens, K = 1 on two axes: the offset (0, 3) leads two of four points off the map."""
    offset = torch.tensor([0.0, 3.0]).expand(1, 4, 1, 1, 2)
    found = deformation_of(offset, torch.full((1, 4, 1, 1), -0.5), (1, 4))
    assert found.mean_offset_px == found.largest_offset_px == 3
    assert found.off_the_map == 0.75  # columns 3, 4, 5 and 6 of 0 to 3
    assert found.off_the_undeformed_map == 0
    assert (found.center_weight, found.other_weight) == (0.5, 0)
    weight = torch.zeros(1, 4, 2, 9)
    weight[..., 0], weight[..., 4], weight[..., 8] = 0.25, 0.5, -1.0
    assert deformation_of(torch.zeros(1, 4, 2, 9, 2), weight, (2, 2)).other_weight == 1.25


def test_watching_changes_nothing_and_sees_every_dssm_layer():
    torch.manual_seed(0)
    model, image = DFMamba("nano").eval(), torch.rand(2, 3, 64, 64)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, DSSM)}
    for layer in layers.values():
        torch.nn.init.normal_(layer.offset_proj.weight, std=0.1)
    before = model(image)
    with watch_deformation(model) as seen:
        assert seen == {}
        during = model(image)
    assert all(torch.equal(one, other) for one, other in zip(before, during, strict=True))
    assert seen.keys() == layers.keys()
    assert [found.map_size for found in seen.values()] == [(4, 4), (4, 4), (2, 2)]
    assert all(found.mean_offset_px > 0 for found in seen.values())
    noted = dict(seen)
    model(image)  # nobody watches any more
    assert seen == noted


@pytest.mark.parametrize("center_weight", [1.0, 0.5, 1 / 9])
def test_center_weight_is_where_the_weights_start(center_weight):
    layer = DSSM(16, num_anchors=9, group_channels=8, center_weight=center_weight)
    _, weight = layer.sampling_arguments(torch.randn(1, 12, 16))
    assert weight.sum(-1).allclose(torch.ones(()))
    assert weight[..., 4].allclose(torch.tensor(center_weight))
    others = weight[..., [0, 1, 2, 3, 5, 6, 7, 8]]
    assert others.allclose(torch.tensor((1 - center_weight) / 8))


def test_a_smaller_center_weight_lets_all_offsets_learn_at_once():
    """The gradient of an offset is in proportion to its anchor's weight, so at weight 0 it is 0."""
    for center_weight, learning in ((1.0, [False, True, False]), (0.5, [True, True, True])):
        torch.manual_seed(0)
        layer = DSSM(8, num_anchors=9, group_channels=8, center_weight=center_weight)
        layer(torch.randn(1, 16, 8), (4, 4)).square().sum().backward()
        of_anchor = layer.offset_proj.bias.grad.view(9, 2).abs().sum(1)
        assert [bool(of_anchor[anchor] > 0) for anchor in (0, 4, 8)] == learning


def test_center_weight_has_a_range():
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"center_weight: expected a number above 0 and at most 1, got {wrong}"):
            DSSM(8, group_channels=8, center_weight=wrong)
    assert DFMamba("nano", center_weight=0.5).state_dict().keys() == DFMamba("nano").state_dict().keys()


# ---- the hook


class Loop:
    """What the hook asks of a runner."""

    def __init__(self, model, folder, iterations):
        self.model, self.work_dir, self.max_iters, self.iter = model, str(folder), iterations, 0

    def run(self, hook, until):
        while self.iter < until:
            hook.before_train_iter(self, self.iter)
            self.model(torch.rand(1, 3, 64, 64))
            hook.after_train_iter(self, self.iter)
            self.iter += 1


def test_the_file_has_the_first_the_last_and_every_nth_iteration_and_resuming_goes_on(tmp_path):
    loop = Loop(DFMamba("nano"), tmp_path, 7)
    loop.run(DeformationHook(interval=3), 4)
    loop.run(DeformationHook(interval=3), 7)  # as resumed
    entries = json.loads((tmp_path / FILE_NAME).read_text())
    assert [entry["iteration"] for entry in entries] == [1, 3, 6, 7]
    values = next(iter(entries[0]["layers"].values()))
    assert values["map_size"] == [4, 4]
    assert values["center_weight"] == 1
    loop.iter = 5  # back to an earlier checkpoint: what came after it is made again
    loop.run(DeformationHook(interval=3), 6)
    assert [entry["iteration"] for entry in json.loads((tmp_path / FILE_NAME).read_text())] == [1, 3, 6]


def test_a_model_without_dssm_gets_no_file(tmp_path):
    loop = Loop(DFMamba("nano", blocks=("conv", "conv", "mamba", "gated", "mamba", "gated")), tmp_path, 1)
    loop.run(DeformationHook(), 1)
    assert not list(tmp_path.iterdir())


def test_the_hook_can_be_named_in_a_config():
    from mmengine.registry import HOOKS

    hook = HOOKS.build(Config({"hook": {"type": "DeformationHook", "interval": 2}}).hook)
    assert isinstance(hook, DeformationHook)
    with pytest.raises(ValueError, match="interval: expected at least 1, got 0"):
        DeformationHook(interval=0)
