"""Rates that fall with depth, through mmengine's own way of building an optimizer."""

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from dfmamba.engine import ConfigError
from dfmamba.models import backbones

RATE, LR = 0.5, 0.01
# Depths worked out by hand: stem 0; the blocks of all stages 1, 2, ...; a downsampling with the block behind it.
DEPTHS = {
    "DFMamba": (
        9,
        {
            "stem.0.weight": 0,
            "stages.0.blocks.0.branch.0.weight": 1,
            "stages.1.downsample.0.weight": 2,
            "stages.2.blocks.0.mixer.A_log": 3,
            "stages.2.blocks.1.mixer.A_log": 4,
            "stages.4.downsample.0.weight": 6,
            "stages.5.blocks.0.in_proj.weight": 7,
            "out_norms.0.weight": 8,
        },
    ),
    "VMamba": (
        11,
        {
            "stem.0.weight": 0,
            "stages.0.blocks.0.mixer.D": 1,
            "stages.1.blocks.1.norm.bias": 3,
            "stages.2.downsample.0.weight": 4,
            "stages.3.blocks.1.norm.bias": 9,
            "out_norms.2.bias": 10,
        },
    ),
    "SpatialMamba": (
        7,
        {
            "stem.reduce.0.weight": 0,
            "stages.2.blocks.1.mixer.fusion.kernels": 4,
            "stages.3.downsample.0.weight": 5,
            "out_norms.1.weight": 6,
        },
    ),
}


class Estimator(nn.Module):
    """A backbone and a head."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(4, 4)


def groups_of(model, **options):
    """Return for each parameter's name its group."""
    config = {
        "type": "OptimWrapper",
        "constructor": "BackboneLayerDecayConstructor",
        "optimizer": {"type": "AdamW", "lr": LR, "weight_decay": 0.05},
        "paramwise_cfg": {"layer_decay_rate": RATE, **options},
    }
    optimizer = build_optim_wrapper(model, config).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {names[parameter]: group for group in optimizer.param_groups for parameter in group["params"]}
    assert set(found) == set(names.values())  # each has a group
    return found


@pytest.mark.parametrize("name", DEPTHS)
def test_each_parameter_has_the_rate_of_its_depth(name):
    num_layers, depths = DEPTHS[name]
    model = Estimator(getattr(backbones, name)("nano"))
    groups = groups_of(model)
    exempt = model.backbone.no_weight_decay()
    for parameter_name, depth in depths.items():
        assert model.backbone.get_layer_depth(parameter_name) == (depth, num_layers)
        assert groups[f"backbone.{parameter_name}"]["lr"] == pytest.approx(LR * RATE ** (num_layers - 1 - depth))
    assert groups["head.weight"]["lr"] == LR
    for parameter_name, parameter in model.named_parameters():
        spared = parameter.ndim == 1 or parameter_name.removeprefix("backbone.") in exempt
        assert groups[parameter_name]["weight_decay"] == (0 if spared else 0.05)
    rates = {group["lr"] for group in groups.values()}
    assert len(rates) == num_layers


def test_other_options_still_hold():
    groups = groups_of(Estimator(backbones.DFMamba("nano")), custom_keys={"head": {"lr_mult": 10.0}})
    assert groups["head.weight"]["lr"] == pytest.approx(10 * LR)
    assert groups["backbone.stem.0.weight"]["lr"] == pytest.approx(LR * RATE**8)


def test_models_of_timm_know_their_depth():
    pytest.importorskip("timm")
    model = Estimator(backbones.TimmBackbone("test_vit"))
    groups = groups_of(model)
    rates = [
        groups[f"backbone.model.{name}"]["lr"]
        for name in ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.weight")
    ]
    assert rates == pytest.approx([rates[0], rates[0] / RATE, rates[0] / RATE**2])
    assert groups["head.weight"]["lr"] == LR
    assert groups["backbone.model.pos_embed"]["weight_decay"] == 0


@pytest.mark.parametrize("rate", [None, 0, 1.5, "0.5"])
def test_wrong_rates_are_named(rate):
    with pytest.raises(ConfigError, match=r"layer_decay_rate: expected a number in \(0, 1\], got"):
        groups_of(Estimator(backbones.DFMamba("nano")), layer_decay_rate=rate)


def test_a_backbone_without_depths_is_named():
    with pytest.raises(ConfigError, match=r"needs a backbone with `get_layer_depth`.*got Linear"):
        groups_of(Estimator(nn.Linear(2, 2)))
