"""The folded model is the model, up to rounding."""

import pytest
import torch
from torch import nn

from dfmamba.models import DFMamba
from dfmamba.models.backbones import TimmBackbone
from dfmamba.models.folding import FoldedDSSM, fold_for_inference
from dfmamba.models.layers.fused_linear import FusedLinear
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
    assert fused_layers(folded)
    assert not any(layer.is_packed for layer in fused_layers(folded))


def fused_layers(folded):
    return [module for module in folded.modules() if isinstance(module, FusedLinear)]


def test_linear_layers_are_packed_where_torch_can():
    folded = fold_for_inference(DFMamba("nano", group_channels=16))
    blocks = [module for module in folded.modules() if isinstance(module, GatedBlock)]
    assert blocks
    for block in blocks:
        assert len(fused_layers(block)) >= 4
        assert all(layer.is_packed == can_pack() for layer in fused_layers(block))
        assert not any(isinstance(module, nn.Linear) for module in block.modules())


def can_pack():
    return FusedLinear(nn.Linear(2, 2)).can_pack


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_the_layer_does(activation, bias):
    if not can_pack():
        pytest.skip("torch has no oneDNN here")
    layer = FusedLinear(nn.Linear(12, 20, bias=bias), activation).requires_grad_(False)
    x = torch.randn(2, 7, 12)
    expected = layer(x)
    assert torch.equal(expected.min() < 0, torch.tensor(activation != "relu"))
    layer.pack()
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_without_packing_the_copy_can_be_saved_moved_and_compiled(tmp_path):
    block = with_history(GatedBlock(16, "dssm", group_channels=16))
    tokens = torch.randn(1, 12, 16)
    folded = fold_for_inference(block, packed=False)
    assert not any(layer.is_packed for layer in fused_layers(folded))
    torch.save(folded.state_dict(), tmp_path / "folded.pth")
    with torch.inference_mode():
        expected = block(tokens, (3, 4))
        compiled = torch.compile(folded, fullgraph=True)(tokens, (3, 4))
    assert (compiled - expected).abs().max() <= 2e-5 * expected.abs().max()
    folded.to("meta")


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
