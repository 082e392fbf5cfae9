"""Checkpoints with the keys of before load into today's models, which then compute the same."""

import re

import pytest
import torch
from torch import nn

from dfmamba.models import backbones
from dfmamba.models.backbones.staged import StagedBackbone
from dfmamba.models.checkpoint_keys import rename_old_keys

BACKBONES = [cls for cls in vars(backbones).values() if isinstance(cls, type) and issubclass(cls, StagedBackbone)]
EVERY_BLOCK = {"blocks": ["conv", "mamba", "vss", "dssm", "gated", "conv"]}

# What a part of a key was called in a token block, by its name today.
OLD = {
    "in_proj": "project_in",
    "out_proj": "project_out",
    "conv1d": "conv.conv",
    "conv2d": "conv",
    "norm2": "ffn.0",
    "fc1": "1.0",
    "fc2": "1.2",
    "mlp": "ffn",
    "x_proj": "project_input",
    "dt_proj": "project_delta",
    "dt_bias": "delta_bias",
    "x_proj_weight": "input_weight",
    "dt_proj_weight": "delta_weight",
    "offset_proj": "predict_offset",
    "weight_proj": "predict_weight",
}


def old_key(key):
    if ".blocks." not in key:
        return key.replace("heatmap.", "heat.")
    return ".".join(OLD.get(part, part) for part in key.split("."))


def check_loads_old_keys(make, run, load=None):
    """Load the weights of one model under their old keys into another, which must then give the same outputs."""
    torch.manual_seed(0)
    model = make().eval()
    old = {old_key(key): tensor for key, tensor in model.state_dict().items()}
    before = dict(old)
    torch.manual_seed(1)
    other = make().eval()
    with torch.no_grad():
        assert not all(torch.equal(a, b) for a, b in zip(run(other), run(model), strict=True))
        load(other, old) if load else other.load_state_dict(old)
        for ours, expected in zip(run(other), run(model), strict=True):
            assert torch.equal(ours, expected)
    assert old == before  # the caller's dictionary is untouched
    return old


CASES = [(cls, {}) for cls in BACKBONES] + [(backbones.DFMamba, EVERY_BLOCK), (backbones.DFMamba, {"mlp_ratio": 0})]


@pytest.mark.parametrize(("backbone", "options"), CASES)
def test_backbones(backbone, options):
    images = torch.randn(1, 3, 64, 64)
    old = check_loads_old_keys(lambda: backbone("nano", **options), lambda model: model(images))
    assert "stages.2.blocks.0.mixer.delta_bias" in old


@pytest.mark.parametrize("prefix", ["module", "backbone", "module.backbone"])
def test_behind_a_prefix(prefix):
    images = torch.randn(1, 3, 64, 64)

    def make():
        model = backbones.DFMamba("nano", **EVERY_BLOCK)
        for name in reversed(prefix.split(".")):
            model = nn.ModuleDict({name: model})
        return model

    check_loads_old_keys(make, lambda model: model.get_submodule(prefix)(images))


def test_classifier_of_timm():
    pytest.importorskip("timm")
    from dfmamba.models.classifier import ImageClassifier

    images = torch.randn(1, 3, 64, 64)
    check_loads_old_keys(lambda: ImageClassifier(backbones.DFMamba("nano"), 3), lambda model: [model(images)])


def test_heads_through_mmengine():
    pytest.importorskip("mmpose")
    from mmengine.runner.checkpoint import load_state_dict

    from dfmamba.models.heads import A2JHead, DetNetHead

    feature = torch.randn(1, 8, 4, 4)
    old = check_loads_old_keys(
        lambda: nn.ModuleDict({"head": DetNetHead([8], hidden_channels=4)}),
        lambda model: model["head"]([feature]),
        lambda model, state: load_state_dict(model, state, strict=True),
    )
    assert "head.heat.0.weight" in old
    sizes = {"input_size": (64, 64), "embed_dims": 16, "num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1}
    check_loads_old_keys(
        lambda: A2JHead([8], num_joints=3, feedforward_channels=8, **sizes), lambda model: model([feature])
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_todays_keys_are_returned_as_they_are(backbone):
    state = backbone("nano").state_dict()
    assert rename_old_keys(state) is state


def test_renaming_keeps_the_order_and_what_is_not_ours():
    old = {"neck.conv.weight": 1, "stages.0.blocks.1.conv.conv.bias": 2, "head.heat.3.bias": 3, "heat.scale": 4}
    assert list(rename_old_keys(old).items()) == [
        ("neck.conv.weight", 1),
        ("stages.0.blocks.1.conv1d.bias", 2),
        ("head.heatmap.3.bias", 3),
        ("heat.scale", 4),
    ]


def test_a_wrong_key_is_still_an_error():
    model = backbones.DFMamba("nano")
    state = {**model.state_dict(), "stages.0.blocks.0.project_inn.weight": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=re.escape("stages.0.blocks.0.project_inn.weight")):
        model.load_state_dict(state)
