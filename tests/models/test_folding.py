"""The folded model is the model, up to rounding."""

import pytest
import torch
from torch import nn

from dfmamba.models import DFMamba
from dfmamba.models.backbones import TimmBackbone
from dfmamba.models.folding import FoldedDSSM, PackedLinear, can_pack, fold_for_inference
from dfmamba.models.layers.gated_block import GatedBlock, NoMixer


def with_history(model):
    """Return a model in which nothing is at its start: every weight moved, every batch statistic measured."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    model.eval()
    return model


def assert_same_maps(model, images, tolerance):
    folded = fold_for_inference(model)
    with torch.inference_mode():
        expected, maps = model(images), folded(images)
    assert len(expected) == len(maps)
    for want, got in zip(expected, maps, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert (got - want).abs().max() <= tolerance * want.abs().max()
    return folded


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_anchors": 25},
        {"offset_bound": 2.0},
        {"norm_scan_input": True},
        {"mlp_ratio": 0},
        {"out_norm": False},
        {"expand": 2.0},
        {"conv_causal": True, "d_conv": 4},
        {"blocks": ("conv",) * 6},
        {"blocks": ("gated",) * 6},
        {"blocks": ("mamba",) * 6},
        {"blocks": ("dssm",) * 6},
    ],
    ids=str,
)
def test_folding_changes_nothing_but_rounding(options):
    model = with_history(DFMamba("nano", **{"group_channels": 16, **options}))
    assert_same_maps(model, torch.randn(2, 3, 64, 96), tolerance=2e-5)


def test_tiny_folded():
    folded = assert_same_maps(with_history(DFMamba("tiny")), torch.randn(1, 3, 64, 64), tolerance=2e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(
        isinstance(block.mixer, FoldedDSSM | NoMixer) for block in folded.modules() if isinstance(block, GatedBlock)
    )


def mmpose_resnet(depth):
    backbones = pytest.importorskip("mmpose.models.backbones")
    return backbones.ResNet(depth)


def timm_resnet(name):
    pytest.importorskip("timm")
    return TimmBackbone(name)


def torchvision_resnet(name):
    models = pytest.importorskip("torchvision.models")
    return nn.Sequential(getattr(models, name)(), nn.Unflatten(0, (1, -1)))  # one "map": the logits


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (torchvision_resnet, "resnet18"),
        (torchvision_resnet, "resnet50"),
        (timm_resnet, "resnet18"),
        (timm_resnet, "resnet50"),
        (timm_resnet, "seresnet50"),
        (mmpose_resnet, 18),
        (mmpose_resnet, 50),
    ],
)
def test_resnets_of_others_are_folded_too(make, name):
    folded = assert_same_maps(with_history(make(name)), torch.randn(1, 3, 64, 64), tolerance=2e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_a_batch_norm_with_an_activation_inside_stays():
    layers = pytest.importorskip("timm.layers")
    model = with_history(nn.Sequential(nn.Conv2d(3, 4, 3), layers.BatchNormAct2d(4), nn.Unflatten(0, (1, -1))))
    folded = assert_same_maps(model, torch.randn(2, 3, 8, 8), tolerance=1e-6)
    assert isinstance(folded[1], layers.BatchNormAct2d)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.1)])
def test_other_types_fold_without_packing(dtype, tolerance):
    model = with_history(DFMamba("nano", group_channels=16)).to(dtype)
    folded = assert_same_maps(model, torch.randn(1, 3, 64, 64, dtype=dtype), tolerance)
    assert not any(isinstance(module, PackedLinear) for module in folded.modules())


def test_linear_layers_are_packed_where_torch_can():
    folded = fold_for_inference(DFMamba("nano", group_channels=16))
    packs = can_pack(nn.Linear(2, 2))
    blocks = [module for module in folded.modules() if isinstance(module, GatedBlock)]
    assert blocks
    for block in blocks:
        layers = [module for module in block.modules() if isinstance(module, nn.Linear | PackedLinear)]
        assert len(layers) >= 4
        assert all(isinstance(layer, PackedLinear) == packs for layer in layers)


def test_the_model_itself_stays_as_it_was():
    model = with_history(DFMamba("nano", group_channels=16)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_for_inference(model)
    assert (model.training, folded.training) == (True, False)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_around_the_backbone_are_folded_too():
    head = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    model = with_history(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), head))
    folded = fold_for_inference(model)
    x = torch.randn(1, 3, 16, 16)
    assert torch.allclose(folded(x), model(x), atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
