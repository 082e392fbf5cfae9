"""Deformable attention: its projections and initial values; tests/ops/test_attention_operator.py has the operator."""

import pytest
import torch

from dfmamba.models.layers.deformable_attention import DeformableAttention, Levels
from dfmamba.ops import multi_scale_deformable_attention

SIZES = [(5, 7), (3, 4), (1, 2)]


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
    expected = module.output_proj(multi_scale_deformable_attention(values, locations, weights, sizes=SIZES))
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


def test_of_half_precision_only_the_values_are_rounded():
    torch.manual_seed(0)
    module = DeformableAttention(16, 2, 2, 3)
    torch.nn.init.normal_(module.sampling_offsets.weight)
    levels = Levels.of([(64, 64), (8, 8)], like=torch.zeros(()))
    query, value, reference = torch.randn(2, 5, 16), torch.randn(2, 64 * 64 + 64, 16), torch.rand(5, 2)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = module(query, value, reference, levels)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), module(query, value, reference, levels), rtol=0.05, atol=0.05)


def test_channels_must_be_a_multiple_of_heads():
    with pytest.raises(ValueError, match=r"embed_dims: expected a multiple of num_heads = 8, got 20"):
        DeformableAttention(20, 8)
