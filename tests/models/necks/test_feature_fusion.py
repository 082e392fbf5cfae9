"""The neck that makes one map: written out, and its size against DetNet's own layer."""

import pytest
import torch
from mmpose.registry import MODELS
from torch.nn.functional import conv2d

import dfmamba.models.necks  # noqa: F401, registers the neck


def neck(**changes):
    torch.manual_seed(0)
    return MODELS.build(
        {"type": "FeatureFusionNeck", "in_channels": [4, 6, 8], "out_channels": 5, "map_size": (8, 6), **changes}
    )


def levels(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(2, channels, *size, generator=generator, dtype=dtype)
        for channels, size in ((4, (12, 16)), (6, (6, 8)), (8, (3, 4)))
    )


def bilinear(x, height, width):
    """Resize with pixel centers at half numbers, cell by cell."""

    def weights(size, new):
        matrix = torch.zeros(new, size, dtype=x.dtype)
        for cell in range(new):
            position = max((cell + 0.5) * size / new - 0.5, 0)
            low = min(int(position), size - 1)
            high, part = min(low + 1, size - 1), position - low
            matrix[cell, low] += 1 - part
            matrix[cell, high] += part
        return matrix

    return torch.einsum("hi,bcij,wj->bchw", weights(x.shape[2], height), x, weights(x.shape[3], width))


def test_equals_projections_resized_added_and_convolved():
    module, feats = neck().double().eval(), levels(torch.float64)
    for projection in module.projections:
        torch.nn.init.normal_(projection.bias)
    total = sum(
        bilinear(conv2d(x, part.weight, part.bias), 6, 8) for part, x in zip(module.projections, feats, strict=True)
    )
    expected = (conv2d(total, module.squeeze[0].weight, padding=1) / (1 + 1e-5) ** 0.5).clamp(min=0)  # fresh statistics
    (out,) = module(feats)
    assert out.shape == (2, 5, 6, 8)
    torch.testing.assert_close(out, expected)


def test_size_by_hand():
    module = neck(in_channels=[256, 512, 1024, 2048], out_channels=256)
    projections = sum(256 * channels + 256 for channels in (256, 512, 1024, 2048))
    assert sum(p.numel() for p in module.projections.parameters()) == projections
    assert sum(p.numel() for p in module.squeeze.parameters()) == 256 * 256 * 9 + 2 * 256
    assert module.out_channels == 256


def test_start_keeps_the_variance_through_relu():
    """Normal with variance 2 / (outputs x kernel area), biases 0."""
    module = neck(in_channels=[128, 96], out_channels=64)
    for convolution, area in ((module.projections[0], 1), (module.projections[1], 1), (module.squeeze[0], 9)):
        assert convolution.weight.std().item() == pytest.approx((2 / (64 * area)) ** 0.5, rel=0.04)
    assert all((projection.bias == 0).all() for projection in module.projections)


def test_one_level_is_enough():
    (out,) = neck(in_channels=[4])(levels()[:1])
    assert out.shape == (2, 5, 6, 8)


def test_every_level_gets_a_gradient():
    module, feats = neck(), [x.requires_grad_() for x in levels()]
    module(feats)[0].square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in feats)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_another_number_of_maps_is_refused():
    with pytest.raises(ValueError, match=r"expected 3 maps, one for each of in_channels = \(4, 6, 8\), got 2"):
        neck()(levels()[:2])
