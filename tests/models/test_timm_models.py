"""DF-Mamba under timm: the same function of the image as the backbone itself, in timm's forms."""

import pytest
import torch

from dfmamba.models.backbones import ARCHS, DFMamba, TimmBackbone

timm = pytest.importorskip("timm")
timm_models = pytest.importorskip("dfmamba.models.timm_models")


def test_every_architecture_is_registered():
    assert sorted(timm.list_models("dfmamba_*")) == sorted(f"dfmamba_{arch}" for arch in ARCHS)


@pytest.mark.parametrize("arch", ARCHS)
def test_classifier_form(arch):
    with torch.device("meta"):
        model = timm.create_model(f"dfmamba_{arch}", num_classes=7).eval()
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    cfg = timm.data.resolve_data_config(model=model)
    assert cfg["input_size"] == (3, 224, 224)
    assert not model.pretrained_cfg.get("url")


def test_features_are_the_backbones_raw_maps():
    torch.manual_seed(0)
    features = timm.create_model("dfmamba_nano", features_only=True).eval()
    assert features.feature_info.reduction() == [4, 8, 16, 32]
    assert features.feature_info.channels() == [16, 32, 64, 128]
    backbone = DFMamba("nano", out_indices=(0, 1, 3, 5), out_norm=False).eval()
    backbone.load_state_dict(features.model.backbone.state_dict())
    x = torch.randn(1, 3, 64, 64)
    for feature, expected in zip(features(x), backbone(x), strict=True):
        assert torch.equal(feature, expected)


def test_features_of_some_levels_and_channels():
    features = timm.create_model("dfmamba_nano", features_only=True, out_indices=(1, -3), in_chans=1)
    assert features.feature_info.module_name() == ["backbone.stages.1", "backbone.stages.3"]
    assert [tuple(feature.shape[1:]) for feature in features(torch.randn(1, 1, 64, 64))] == [(32, 8, 8), (64, 4, 4)]
    assert len(features.model.backbone.stages) == 4
    assert not any("head" in name or "out_norms" in name for name in features.state_dict())


def test_intermediates_and_final_map():
    torch.manual_seed(0)
    model = timm.create_model("dfmamba_nano", num_classes=3).eval()
    x = torch.randn(2, 3, 64, 64)
    final, maps = model.forward_intermediates(x)
    assert len(maps) == 6
    assert torch.equal(final, model.forward_features(x))
    assert torch.equal(model.forward_head(final), model(x))
    assert not torch.equal(maps[-1], final)
    (normed,) = model.forward_intermediates(x, indices=1, norm=True, intermediates_only=True)
    assert torch.equal(normed, final)
    early, maps = model.forward_intermediates(x, indices=[0, 2], stop_early=True)
    assert torch.equal(early, maps[1])
    with pytest.raises(ValueError, match="output_fmt: expected 'NCHW', got 'NHWC'"):
        model.forward_intermediates(x, output_fmt="NHWC")


def test_options_reach_the_backbone():
    model = timm.create_model("dfmamba_nano", num_anchors=25, drop_path_rate=0.3, drop_rate=0.2)
    assert model.backbone.stages[2].blocks[0].mixer.num_anchors == 25
    assert model.backbone.stages[5].blocks[-1].drop_path.rate == pytest.approx(0.3)
    assert model.dropout.p == 0.2


def test_gradient_checkpointing_is_switched():
    model = timm.create_model("dfmamba_nano")
    model.set_grad_checkpointing()
    assert all(stage.with_cp for stage in model.backbone.stages)


def test_timms_optimizer_takes_it():
    from timm.optim import create_optimizer_v2

    model = timm.create_model("dfmamba_nano", num_classes=3)
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.5)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(list(model.parameters()))
    parameters = dict(model.named_parameters())
    decay = groups[id(parameters["backbone.stages.2.blocks.0.mixer.A_log"])]["weight_decay"]
    assert decay == 0
    names = ("backbone.stem.0.weight", "backbone.stages.0.blocks.0.branch.0.weight",
             "backbone.stages.2.blocks.1.project_in.weight", "head.weight")
    scales = [groups[id(parameters[name])]["lr_scale"] for name in names]
    assert scales == sorted(scales)
    assert len(set(scales)) == 4
    assert scales[-1] == 1


def test_there_and_back_again():
    torch.manual_seed(0)
    model = TimmBackbone("dfmamba_nano", out_norm=True).eval()
    backbone = DFMamba("nano").eval()
    assert [info["num_chs"] for info in model.feature_info] == [info["num_chs"] for info in backbone.feature_info]
    backbone.load_state_dict(model.model.backbone.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)
    for feature, expected in zip(model(x), backbone(x), strict=True):
        torch.testing.assert_close(feature, expected)
