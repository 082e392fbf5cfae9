"""Multi-scale deformable attention with its projections; `dfmamba.ops` has the operator itself.

Source: Zhu et al., Deformable DETR (ICLR 2021), section 4.1; sizes and initial values as in its public code.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...ops import multi_scale_deformable_attention


class Levels(NamedTuple):
    """The sizes of the feature levels, whose pixels stand one level after the other, each row by row.

    Attributes:
        sizes: (height, width) of each level.
        pixel_sizes: (levels, 1, 2), the width and height of a pixel where a level spans [0, 1].
    """

    sizes: Sequence[tuple[int, int]]
    pixel_sizes: Tensor

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], like: Tensor) -> "Levels":
        """Make it from (height, width) of each level, with the dtype and device of a tensor."""
        # Filled in on the device, not copied to it: the host would have to wait for a GPU.
        pixel_sizes = [like.new_full((1,), 1 / extent) for height, width in sizes for extent in (width, height)]
        return cls(sizes, torch.cat(pixel_sizes).view(-1, 1, 2))


class DeformableAttention(nn.Module):
    """Attention in which a query looks at a few learned points around its reference point, on every level.

    Args:
        embed_dims: Channels of queries, values and output.
        num_heads: Heads; each has its own points and its own share of the channels.
        num_levels: Feature levels.
        num_points: Points for each query, head and level.

    Raises:
        ValueError: `embed_dims` is not a multiple of `num_heads`.
    """

    def __init__(self, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims: expected a multiple of num_heads = {num_heads}, got {embed_dims}")
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = nn.Linear(embed_dims, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(embed_dims, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let head h look along its own direction, its points 1, 2, ... px away, with equal weights."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)  # onto the unit square
        steps = torch.arange(1, self.num_points + 1)
        points = directions[:, None, None] * steps[:, None]  # (heads, 1, points, 2)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(points.expand(-1, self.num_levels, -1, -1).flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, query: Tensor, value: Tensor, reference: Tensor, levels: Levels) -> Tensor:
        """Attend to the levels.

        Args:
            query: (batch, queries, embed_dims).
            value: (batch, S, embed_dims), the levels one after the other; S = sum of height * width.
            reference: (queries, 2), points (x, y) in [0, 1], the same on every level; float32 or float64.
            levels: The sizes of the levels.

        Returns:
            (batch, queries, embed_dims).
        """
        slots = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(query).unflatten(-1, (self.num_heads, -1))  # px of each level
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1).unflatten(-1, slots[1:])
        # All points of a head in one long axis: torch is slow where the last axis has two numbers.
        pixel_sizes = levels.pixel_sizes.expand(-1, self.num_points, -1).flatten()
        locations = reference.repeat(1, self.num_levels * self.num_points)[:, None] + offsets * pixel_sizes
        locations = locations.unflatten(-1, (*slots[1:], 2))
        values = self.value_proj(value).unflatten(-1, (self.num_heads, -1))
        return self.output_proj(multi_scale_deformable_attention(values, locations, weights, sizes=levels.sizes))
