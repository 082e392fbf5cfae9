"""Deformable attention against its definition written as loops, and against mmcv where it is installed."""

import math

import pytest
import torch

from dfmamba.models.layers.deformable_attention import DeformableAttention, Levels, sample_and_sum

SIZES = [(5, 7), (3, 4), (1, 2)]


def bilinear(feature_map, x, y):
    """Read a (H, W, C) map at (x, y) in [0, 1]; zeros outside."""
    height, width, channels = feature_map.shape
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros(channels, dtype=feature_map.dtype)
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * feature_map[i, j]
    return total


def sample_and_sum_by_loops(values, sizes, locations, weights):
    batch, queries, heads, levels, points, _ = locations.shape
    level_values = values.split([h * w for h, w in sizes], dim=1)
    output = values.new_zeros(batch, queries, heads, values.shape[-1])
    for b, q, head, level, point in torch.cartesian_prod(
        *[torch.arange(n) for n in (batch, queries, heads, levels, points)]
    ).tolist():
        feature_map = level_values[level][b, :, head].unflatten(0, sizes[level])
        x, y = locations[b, q, head, level, point].tolist()
        output[b, q, head] += weights[b, q, head, level, point] * bilinear(feature_map, x, y)
    return output.flatten(2)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    pixels = sum(h * w for h, w in SIZES)
    values = torch.randn(2, pixels, 2, 3, dtype=torch.double)
    locations = torch.rand(2, 6, 2, 3, 4, 2, dtype=torch.double) * 1.6 - 0.3  # some lie outside
    weights = torch.rand(2, 6, 2, 3, 4, dtype=torch.double)
    return values, locations, weights


def test_sampling_equals_the_definition(inputs):
    values, locations, weights = inputs
    expected = sample_and_sum_by_loops(values, SIZES, locations, weights)
    torch.testing.assert_close(sample_and_sum(values, SIZES, locations, weights), expected)


def test_sampling_equals_mmcv(inputs):
    ops = pytest.importorskip("mmcv.ops.multi_scale_deform_attn")
    values, locations, weights = inputs
    expected = ops.multi_scale_deformable_attn_pytorch(values, torch.tensor(SIZES), locations, weights)
    torch.testing.assert_close(sample_and_sum(values, SIZES, locations, weights), expected)


def test_module_equals_the_definition():
    torch.manual_seed(0)
    heads, levels, points, channels = 2, 3, 4, 6
    module = DeformableAttention(channels, heads, levels, points).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    query, value = torch.randn(2, 5, channels).double(), torch.randn(2, 49, channels).double()
    reference = torch.rand(5, 2).double()
    offsets = module.sampling_offsets(query).reshape(2, 5, heads, levels, points, 2)
    locations = torch.empty_like(offsets)
    for level, (height, width) in enumerate(SIZES):
        locations[:, :, :, level, :, 0] = reference[:, 0, None, None] + offsets[:, :, :, level, :, 0] / width
        locations[:, :, :, level, :, 1] = reference[:, 1, None, None] + offsets[:, :, :, level, :, 1] / height
    # softmax over all levels and points of a head together
    weights = module.attention_weights(query).reshape(2, 5, heads, -1).softmax(-1).reshape(2, 5, heads, levels, points)
    values = module.value_proj(value).reshape(2, 49, heads, -1)
    expected = module.output_proj(sample_and_sum_by_loops(values, SIZES, locations, weights))
    torch.testing.assert_close(module(query, value, reference, Levels.of(SIZES, like=reference)), expected)


def test_parameter_count_is_the_published_one():
    assert sum(p.numel() for p in DeformableAttention(256, 8, 4, 4).parameters()) == 230_272


def test_heads_look_around_the_unit_square_at_first():
    module = DeformableAttention(embed_dims=16, num_heads=8, num_levels=2, num_points=3)
    offsets = module.sampling_offsets(torch.randn(1, 1, 16)).reshape(8, 2, 3, 2)
    directions = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    expected = torch.tensor(directions).reshape(8, 1, 1, 2) * torch.tensor([1.0, 2, 3]).reshape(3, 1)
    torch.testing.assert_close(offsets, expected.expand(8, 2, 3, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(module.attention_weights(torch.randn(1, 1, 16)), torch.zeros(1, 1, 48))


def test_gradients_match_finite_differences():
    torch.manual_seed(0)
    values = torch.randn(1, 12, 1, 2, dtype=torch.double, requires_grad=True)
    locations = (torch.rand(1, 2, 1, 1, 2, 2).double() * 0.8 + 0.1).requires_grad_()
    weights = torch.rand(1, 2, 1, 1, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, loc, w: sample_and_sum(v, [(3, 4)], loc, w), (values, locations, weights))


def test_channels_must_be_a_multiple_of_heads():
    with pytest.raises(ValueError, match=r"embed_dims: expected a multiple of num_heads = 8, got 20"):
        DeformableAttention(20, 8)
