"""The encoder and decoder of A2J-Transformer: deformable attention around fixed 3D anchors.

Source: Jiang et al., A2J-Transformer (CVPR 2023); order of the sub-layers and sizes as in its public code. All images
of a batch have one size, so there are no padding masks.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..layers.deformable_attention import DeformableAttention, Levels
from ..layers.position_encoding import anchor_encoding, image_encoding, pixel_centers


def mlp(in_channels: int, hidden_channels: int, out_channels: int, num_layers: int) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    channels = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def to_pixels(feats: Sequence[Tensor]) -> tuple[list[tuple[int, int]], Tensor]:
    """Return (height, width) of each map (B, C, H_l, W_l), and their pixels (B, S, C), one map after the other."""
    sizes = [(feat.shape[-2], feat.shape[-1]) for feat in feats]
    return sizes, torch.cat([feat.flatten(2).transpose(1, 2) for feat in feats], dim=1)


def pixel_positions(levels: Levels, level_embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Return the encodings (S, C) and centers (S, 2) of the pixels of all levels; level_embedding is (levels, C)."""
    centers = [pixel_centers(height, width, like=levels.pixel_sizes) for height, width in levels.sizes]
    channels = level_embedding.shape[1]
    encodings = [
        image_encoding(level_centers, channels) + embedding
        for level_centers, embedding in zip(centers, level_embedding, strict=True)
    ]
    return torch.cat(encodings), torch.cat(centers)


class FeedForward(nn.Module):
    """Two linear layers with ReLU, residual connection and LayerNorm behind them."""

    def __init__(self, embed_dims: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embed_dims, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(feedforward_channels, embed_dims),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., embed_dims) to the same shape."""
        return self.norm(x + self.layers(x))


class EncoderLayer(nn.Module):
    """Deformable self-attention of all pixels of all levels, then the feed-forward part (post-norm)."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(embed_dims)
        self.feed_forward = FeedForward(embed_dims, feedforward_channels, dropout)

    def forward(self, pixels: Tensor, position: Tensor, reference: Tensor, levels: Levels) -> Tensor:
        """Map pixels (B, S, C) to the same shape; position (S, C) is added to the queries, reference is (S, 2)."""
        attended = self.attention(pixels + position, pixels, reference, levels)
        return self.feed_forward(self.norm(pixels + self.dropout(attended)))


class DecoderLayer(nn.Module):
    """Self-attention among the anchors' queries, deformable attention to the image, feed-forward (post-norm)."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.self_norm = nn.LayerNorm(embed_dims)
        self.cross_attention = DeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.cross_norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(embed_dims, feedforward_channels, dropout)

    def forward(self, queries: Tensor, position: Tensor, pixels: Tensor, reference: Tensor, levels: Levels) -> Tensor:
        """Map queries (B, A, C) to the same shape.

        Args:
            queries: (B, A, C).
            position: (A, C) or (B, A, C), added to the queries wherever they ask.
            pixels: (B, S, C), the encoder's output.
            reference: (A, 2), the anchors' (x, y) in [0, 1].
            levels: The sizes of the levels.
        """
        asking = queries + position
        attended, _ = self.self_attention(asking, asking, queries, need_weights=False)
        queries = self.self_norm(queries + self.dropout(attended))
        attended = self.cross_attention(queries + position, pixels, reference, levels)
        queries = self.cross_norm(queries + self.dropout(attended))
        return self.feed_forward(queries)


class A2JTransformer(nn.Module):
    """Encoder over the feature levels, decoder over one query for each anchor.

    Args:
        embed_dims: Channels throughout; a multiple of 4 (sine encoding of two axes) and of `num_heads`.
        num_heads: Attention heads.
        num_levels: Feature levels.
        num_points: Points of deformable attention for each head and level.
        num_encoder_layers: Encoder layers; 0 leaves the encoder out.
        num_decoder_layers: Decoder layers.
        feedforward_channels: Hidden channels of the feed-forward parts.
        dropout: Dropout probability of all layers.

    Raises:
        ValueError: `embed_dims` is not a multiple of 4 or of `num_heads`.
    """

    NO_WEIGHT_DECAY = ("level_embedding",)

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if embed_dims % 4:
            raise ValueError(f"embed_dims: expected a multiple of 4, got {embed_dims}")
        self.embed_dims = embed_dims
        layer_args = (embed_dims, num_heads, num_levels, num_points, feedforward_channels, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*layer_args) for _ in range(num_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*layer_args) for _ in range(num_decoder_layers))
        # without an encoder nobody asks where a pixel is
        self.level_embedding = nn.Parameter(torch.empty(num_levels, embed_dims)) if num_encoder_layers else None
        self.position_mlp = mlp(3 * (embed_dims // 2), embed_dims, embed_dims, 2)
        # used from the second layer on
        self.position_scale = mlp(embed_dims, embed_dims, embed_dims, 2) if num_decoder_layers > 1 else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all matrices from Xavier's uniform distribution; deformable attention has its own initial values."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.reset_parameters()
        if self.level_embedding is not None:
            nn.init.normal_(self.level_embedding)

    def forward(self, feats: Sequence[Tensor], queries: Tensor, anchors: Tensor) -> list[Tensor]:
        """Run encoder and decoder.

        Args:
            feats: Feature maps (B, C, H_l, W_l), one for each level.
            queries: (A, C), one for each anchor.
            anchors: (A, 3), x, y, z in [0, 1].

        Returns:
            The queries (B, A, C) behind every decoder layer.
        """
        pixels, levels = self.encode(feats, anchors)
        position = self.position_mlp(anchor_encoding(anchors, self.embed_dims // 2))
        queries = queries.expand(pixels.shape[0], -1, -1)
        outputs: list[Tensor] = []
        for layer in self.decoder:
            scaled_position = position * self.position_scale(queries) if outputs else position
            queries = layer(queries, scaled_position, pixels, anchors[:, :2], levels)
            outputs.append(queries)
        return outputs

    def encode(self, feats: Sequence[Tensor], anchors: Tensor) -> tuple[Tensor, Levels]:
        """Return the encoded pixels (B, S, C) of all levels, one level after the other, and the levels' sizes.

        Positions are computed in the dtype of the anchors, whatever that of the maps.
        """
        sizes, pixels = to_pixels(feats)
        levels = Levels.of(sizes, like=anchors)
        if self.level_embedding is not None:
            position, reference = pixel_positions(levels, self.level_embedding)
            for layer in self.encoder:
                pixels = layer(pixels, position, reference, levels)
        return pixels, levels
