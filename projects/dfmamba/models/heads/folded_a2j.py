"""A2J-Transformer's encoder and decoder for inference: fewer steps, and what no image changes is computed once.

That is: where pixels and anchors lie, the encodings of both, and in the first decoder layer, whose queries are the same
for all images, the self-attention and the points at which the queries look. Linear layers of the same input are one,
those in front of a ReLU run together with it, and only the last decoder layer's queries are returned.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import multi_scale_deformable_attention
from ..layers.deformable_attention import DeformableAttention, Levels
from ..layers.fused_linear import FusedLinear, fused_mlp, joined, linear_of
from ..layers.position_encoding import anchor_encoding
from .a2j_transformer import A2JTransformer, DecoderLayer, EncoderLayer, FeedForward, pixel_positions, to_pixels


class Points(NamedTuple):
    """Where queries look.

    Attributes:
        locations: (batch, queries, heads, levels, points, 2), x and y in [0, 1].
        weights: (batch, queries, heads, levels, points).
    """

    locations: Tensor
    weights: Tensor


class FoldedAttention(nn.Module):
    """`DeformableAttention` in two steps, offsets and weights from one linear layer."""

    def __init__(self, attention: DeformableAttention) -> None:
        super().__init__()
        self.slots = (attention.num_heads, attention.num_levels, attention.num_points)
        offsets, weights = attention.sampling_offsets, attention.attention_weights
        self.widths = [offsets.out_features, weights.out_features]
        self.ask = FusedLinear(joined(offsets, weights))
        self.value_proj, self.output_proj = FusedLinear(attention.value_proj), FusedLinear(attention.output_proj)

    def points(self, query: Tensor, reference: Tensor, levels: Levels) -> Points:
        """Return the points of queries (batch, queries, channels) around their references (queries, 2)."""
        heads, num_levels, num_points = self.slots
        offsets, weights = self.ask(query).split(self.widths, -1)
        pixel_sizes = levels.pixel_sizes.expand(-1, num_points, -1).flatten().repeat(heads)
        offsets = offsets.to(reference.dtype)  # which is float32 under autocast, too
        locations = torch.addcmul(reference.repeat(1, heads * num_levels * num_points), offsets, pixel_sizes)
        weights = weights.unflatten(-1, (heads, -1)).softmax(-1)
        return Points(locations.unflatten(-1, (*self.slots, 2)), weights.unflatten(-1, self.slots[1:]))

    def forward(self, points: Points, value: Tensor, levels: Levels) -> Tensor:
        """Return what is seen there, (batch, queries, channels); value is (batch, S, channels)."""
        values = self.value_proj(value).unflatten(-1, (self.slots[0], -1))
        return self.output_proj(multi_scale_deformable_attention(values, *points, sizes=levels.sizes))


class FoldedFeedForward(nn.Module):
    """`FeedForward` with its ReLU in the first linear layer."""

    def __init__(self, block: FeedForward) -> None:
        super().__init__()
        expand, _, _, contract, _ = block.layers
        self.expand, self.contract, self.norm = FusedLinear(expand, "relu"), FusedLinear(contract), block.norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., channels) to the same shape."""
        return self.norm(x + self.contract(self.expand(x)))


class FoldedEncoderLayer(nn.Module):
    """`EncoderLayer`; arguments and result are those of the layer."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        self.attention = FoldedAttention(layer.attention)
        self.norm, self.feed_forward = layer.norm, FoldedFeedForward(layer.feed_forward)

    def forward(self, pixels: Tensor, position: Tensor, reference: Tensor, levels: Levels) -> Tensor:
        """Map pixels (batch, S, channels) to the same shape."""
        points = self.attention.points(pixels + position, reference, levels)
        return self.feed_forward(self.norm(pixels + self.attention(points, pixels, levels)))


class FoldedDecoderLayer(nn.Module):
    """`DecoderLayer`, also in two steps: among the queries, then to the image."""

    def __init__(self, layer: DecoderLayer) -> None:
        super().__init__()
        attention = layer.self_attention
        weight, bias, channels = attention.in_proj_weight, attention.in_proj_bias, attention.embed_dim
        self.num_heads = attention.num_heads
        self.query_key = FusedLinear(linear_of(weight[: 2 * channels], bias[: 2 * channels]))
        self.value = FusedLinear(linear_of(weight[2 * channels :], bias[2 * channels :]))
        self.out_proj, self.self_norm = FusedLinear(attention.out_proj), layer.self_norm
        self.cross_attention, self.cross_norm = FoldedAttention(layer.cross_attention), layer.cross_norm
        self.feed_forward = FoldedFeedForward(layer.feed_forward)

    def among_queries(self, queries: Tensor, position: Tensor) -> Tensor:
        """Return the queries (batch, A, channels) after they have attended to each other."""
        query, key = self.query_key(queries + position).chunk(2, -1)
        by_heads = [x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, self.value(queries))]
        attended = F.scaled_dot_product_attention(*by_heads).transpose(1, 2).flatten(2)
        return self.self_norm(queries + self.out_proj(attended))

    def to_image(self, queries: Tensor, points: Points, pixels: Tensor, levels: Levels) -> Tensor:
        """Return the queries after they have looked at the image's pixels (batch, S, channels)."""
        return self.feed_forward(self.cross_norm(queries + self.cross_attention(points, pixels, levels)))

    def forward(self, queries: Tensor, position: Tensor, pixels: Tensor, reference: Tensor, levels: Levels) -> Tensor:
        """Map queries to the same shape; arguments as for `DecoderLayer`."""
        queries = self.among_queries(queries, position)
        points = self.cross_attention.points(queries + position, reference, levels)
        return self.to_image(queries, points, pixels, levels)


class Constants(NamedTuple):
    """What depends on the sizes of the maps alone: pixels' encodings and centers, the first points of the queries."""

    levels: Levels
    position: Tensor
    centers: Tensor
    first_points: Points


class FoldedA2JTransformer(nn.Module):
    """`A2JTransformer` for the queries and anchors of one head.

    Args:
        transformer: The transformer, from which it takes over the layers.
        queries: (A, channels), of the head.
        anchors: (A, 3), x, y, z in [0, 1].
    """

    reference: Tensor
    position: Tensor
    first_queries: Tensor

    def __init__(self, transformer: A2JTransformer, queries: Tensor, anchors: Tensor) -> None:
        super().__init__()
        self.level_embedding = transformer.level_embedding
        encoder = cast("list[EncoderLayer]", transformer.encoder)
        decoder = cast("list[DecoderLayer]", transformer.decoder)
        self.encoder = nn.ModuleList(FoldedEncoderLayer(layer) for layer in encoder)
        first, *later = (FoldedDecoderLayer(layer) for layer in decoder)
        self.first_layer, self.later_layers = first, nn.ModuleList(later)
        self.position_scale = fused_mlp(transformer.position_scale)
        position = transformer.position_mlp(anchor_encoding(anchors, transformer.embed_dims // 2))
        self.register_buffer("reference", anchors[:, :2].clone(), persistent=False)
        self.register_buffer("position", position, persistent=False)
        self.register_buffer("first_queries", first.among_queries(queries[None], position), persistent=False)
        self._constants: dict[tuple[Hashable, ...], Constants] = {}

    def constants(self, sizes: Sequence[tuple[int, int]]) -> Constants:
        """Return what depends on (height, width) of each level; computed when maps of these sizes come first."""
        key = (*sizes, self.reference.device, self.reference.dtype)  # the model may have been moved
        if key not in self._constants:
            with torch.autocast(self.reference.device.type, enabled=False):  # they may be used without it later
                self._constants[key] = self._compute_constants(sizes)
        return self._constants[key]

    def _compute_constants(self, sizes: Sequence[tuple[int, int]]) -> Constants:
        levels = Levels.of(sizes, like=self.reference)
        position = centers = self.reference.new_empty(0)  # without an encoder nobody asks
        if self.level_embedding is not None:
            position, centers = pixel_positions(levels, self.level_embedding)
        asking = self.first_queries + self.position
        first_points = self.first_layer.cross_attention.points(asking, self.reference, levels)
        return Constants(levels, position, centers, first_points)

    def forward(self, feats: Sequence[Tensor], queries: Tensor, anchors: Tensor) -> list[Tensor]:
        """Run encoder and decoder.

        Args:
            feats: Feature maps (B, C, H_l, W_l), one for each level.
            queries: Those that it was made for.
            anchors: Likewise.

        Returns:
            One tensor: the queries (B, A, C) behind the last decoder layer.
        """
        sizes, pixels = to_pixels(feats)
        levels, position, centers, points = self.constants(sizes)
        for layer in self.encoder:
            pixels = layer(pixels, position, centers, levels)
        batch = len(pixels)
        points = Points(*(tensor.expand(batch, *tensor.shape[1:]) for tensor in points))
        queries = self.first_layer.to_image(self.first_queries.expand(batch, -1, -1), points, pixels, levels)
        for layer in self.later_layers:
            queries = layer(queries, self.position * self.position_scale(queries), pixels, self.reference, levels)
        return [queries]
