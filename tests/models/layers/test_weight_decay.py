"""Which parameters do not decay: the marks, the names, and what mmengine makes of each config that decays."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dfmamba.models import backbones
from dfmamba.models.layers.weight_decay import no_weight_decay

OF_SCANS = {"A_log", "D", "dt_bias"}
BACKBONES = (backbones.DFMamba, backbones.VMamba, backbones.SpatialMamba)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_names_and_marks_are_those_of_the_scans(backbone):
    model = backbone(
        "nano",
        **({"blocks": ["conv", "mamba", "dssm", "gated", "vss", "dssm"]} if backbone is backbones.DFMamba else {}),
    )
    expected = {name for name, _ in model.named_parameters() if name.rsplit(".", 1)[-1] in OF_SCANS}
    assert len(expected) >= 12
    assert model.no_weight_decay() == expected
    assert {name for name, p in model.named_parameters() if getattr(p, "_no_weight_decay", False)} == expected


def test_parts_are_asked_by_their_place():
    class Timm(nn.Module):
        def __init__(self):
            super().__init__()
            self.pos_embed = nn.Parameter(torch.zeros(1, 2, 3))

        def no_weight_decay(self):
            return {"pos_embed"}

    model = nn.Sequential(Timm(), backbones.DFMamba("nano", blocks=["conv"] * 5 + ["mamba"]))
    assert no_weight_decay(model) == {"0.pos_embed", *(f"1.stages.5.blocks.0.mixer.{name}" for name in OF_SCANS)}


ROOT = Path(__file__).parents[3]


def decaying_configs():
    """Return every config that decays."""
    pytest.importorskip("mmpose")
    import list_configs
    from dfmamba.engine.config import load_config

    configs = ((path, load_config(path)) for path in list_configs.leaves())
    return [(path.name, config) for path, config in configs if config.optim_wrapper.optimizer.get("weight_decay")]


@pytest.mark.slow
def test_every_config_that_decays_leaves_out_what_it_would_spoil():
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS, init_default_scope

    configs = decaying_configs()
    assert {
        "dfmamba_nyu.py",
        "dfmamba_rhp_demo.py",
        "dfmamba_dexycb_demo.py",
        "dfmamba_simcc_wholebody_hand.py",
        "swin_t_nyu.py",
    } <= {name for name, _ in configs}
    for name, config in configs:
        init_default_scope(config.get("default_scope", "mmpose"))
        with torch.device("meta"):
            model = MODELS.build(config.model)
        config.optim_wrapper.optimizer.pop("fused", None)  # not for meta tensors
        optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
        decay = {parameter: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
        exempt = no_weight_decay(model)
        for parameter_name, parameter in model.named_parameters():
            expected = config.optim_wrapper.optimizer.weight_decay
            if parameter.ndim <= 1 or parameter_name in exempt:
                expected = 0
            assert decay[parameter] == expected, (name, parameter_name)
    init_default_scope("mmpose")
