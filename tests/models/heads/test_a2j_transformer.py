"""The transformer of A2J: the published sizes, the order of the sub-layers."""

import pytest
import torch

from dfmamba.models.heads.a2j_transformer import A2JTransformer, DecoderLayer, EncoderLayer
from dfmamba.models.layers.deformable_attention import Levels

LAYER = {
    "embed_dims": 256,
    "num_heads": 8,
    "num_levels": 4,
    "num_points": 4,
    "feedforward_channels": 1024,
    "dropout": 0.1,
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_layers_have_the_published_sizes():
    assert count(EncoderLayer(**LAYER)) == 756_864
    assert count(DecoderLayer(**LAYER)) == 1_020_544


def test_transformer_has_the_published_size():
    transformer = A2JTransformer()
    assert count(transformer.encoder) == 4_541_184
    assert count(transformer.decoder) == 6_123_264
    assert count(transformer.position_scale) == 131_584
    assert count(transformer.position_mlp) == 164_352
    assert transformer.level_embedding.numel() == 1_024
    assert count(transformer) == 10_961_408


@pytest.fixture
def small():
    torch.manual_seed(0)
    return A2JTransformer(16, 2, 2, 2, 1, 2, feedforward_channels=32).eval()


def run(transformer, levels, num_anchors=5):
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(num_anchors, transformer.embed_dims, generator=generator)
    return transformer(levels, queries, torch.rand(num_anchors, 3, generator=generator))


def test_every_decoder_layer_gives_its_queries(small):
    outputs = run(small, [torch.randn(3, 16, 4, 6), torch.randn(3, 16, 2, 3)])
    assert [tuple(output.shape) for output in outputs] == [(3, 5, 16)] * 2


def test_samples_of_a_batch_do_not_mix(small):
    levels = [torch.randn(3, 16, 4, 6), torch.randn(3, 16, 2, 3)]
    together, alone = run(small, levels)[-1], run(small, [level[1:2] for level in levels])[-1]
    torch.testing.assert_close(together[1:2], alone)


def test_both_levels_reach_the_queries(small):
    levels = [torch.randn(1, 16, 4, 6, requires_grad=True), torch.randn(1, 16, 2, 3, requires_grad=True)]
    run(small, levels)[-1].square().sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in levels)


def test_decoder_attends_to_the_queries_before_the_image():
    layer, calls = DecoderLayer(**{**LAYER, "embed_dims": 16}), []
    for name, module in layer.named_children():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    levels = Levels.of([(8, 8), (4, 4), (2, 2), (1, 1)], like=torch.zeros(()))
    layer(torch.randn(1, 5, 16), torch.randn(5, 16), torch.randn(1, 85, 16), torch.rand(5, 2), levels)
    order = ["self_attention", "dropout", "self_norm", "cross_attention", "dropout", "cross_norm", "feed_forward"]
    assert calls == order


def test_positions_are_scaled_from_the_second_layer_on(small):
    inputs = []
    small.position_scale.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
    outputs = run(small, [torch.randn(1, 16, 4, 6), torch.randn(1, 16, 2, 3)])
    assert len(inputs) == 1
    torch.testing.assert_close(inputs[0], outputs[0])


def test_one_decoder_layer_leaves_no_dead_weights():
    transformer = A2JTransformer(16, 2, 1, 2, 1, 1, feedforward_channels=32)
    run(transformer, [torch.randn(1, 16, 4, 4)])[-1].square().sum().backward()
    assert all(parameter.grad is not None for parameter in transformer.parameters())


def test_channels_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match="embed_dims: expected a multiple of 4, got 18"):
        A2JTransformer(18, 2)


SMALL_LAYER = {
    "embed_dims": 8,
    "num_heads": 2,
    "num_levels": 1,
    "num_points": 2,
    "feedforward_channels": 16,
    "dropout": 0.0,
}


def normed_sum(*terms):
    return torch.nn.functional.layer_norm(sum(terms), (8,))


@pytest.fixture
def decoder_inputs():
    torch.manual_seed(0)
    levels = Levels.of([(3, 4)], like=torch.zeros(()))
    return torch.randn(2, 5, 8), torch.randn(5, 8), torch.randn(2, 12, 8), torch.rand(5, 2), levels


def test_decoder_layer_step_by_step(decoder_inputs):
    queries, position, pixels, reference, levels = decoder_inputs
    layer = DecoderLayer(**SMALL_LAYER)
    torch.nn.init.normal_(layer.cross_attention.attention_weights.weight)  # else the query would not matter
    asking = queries + position
    x = normed_sum(queries, layer.self_attention(asking, asking, queries)[0])
    x = normed_sum(x, layer.cross_attention(x + position, pixels, reference, levels))
    x = normed_sum(x, layer.feed_forward.layers(x))
    torch.testing.assert_close(layer(*decoder_inputs), x)


def test_encoder_layer_step_by_step():
    torch.manual_seed(0)
    levels = Levels.of([(3, 4)], like=torch.zeros(()))
    pixels, position, reference = torch.randn(2, 12, 8), torch.randn(12, 8), torch.rand(12, 2)
    layer = EncoderLayer(**SMALL_LAYER)
    torch.nn.init.normal_(layer.attention.attention_weights.weight)
    x = normed_sum(pixels, layer.attention(pixels + position, pixels, reference, levels))
    x = normed_sum(x, layer.feed_forward.layers(x))
    torch.testing.assert_close(layer(pixels, position, reference, levels), x)
