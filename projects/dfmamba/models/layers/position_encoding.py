"""Sine encodings of positions on a feature map and of 3D anchors."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def sine_encoding(positions: Tensor, channels: int) -> Tensor:
    """Encode scalars by sines and cosines of geometrically spaced frequencies.

    Args:
        positions: (...) numbers, usually in [0, 1]; one unit is a full turn of the fastest wave.
        channels: Even number of channels; channels 2i and 2i + 1 hold sine and cosine of one frequency.

    Returns:
        (..., channels), in the dtype of `positions`.
    """
    exponents = torch.arange(0, channels, 2, dtype=positions.dtype, device=positions.device) / channels
    angles = positions[..., None] * (2 * math.pi) / TEMPERATURE**exponents
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def pixel_centers(height: int, width: int, like: Tensor) -> Tensor:
    """Return the centers of all pixels, row by row, as (x, y) with the map spanning [0, 1].

    Args:
        height: Rows of the feature map.
        width: Columns of the feature map.
        like: A tensor with the dtype and device of the result.

    Returns:
        (height * width, 2).
    """
    y = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    x = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1).flatten(0, 1)


def image_encoding(centers: Tensor, channels: int) -> Tensor:
    """Encode `pixel_centers` (..., 2), given as (x, y): (..., channels), y in the first half."""
    x, y = centers.unbind(-1)
    return torch.cat([sine_encoding(y, channels // 2), sine_encoding(x, channels // 2)], dim=-1)


def anchor_encoding(anchors: Tensor, channels_per_axis: int) -> Tensor:
    """Encode 3D anchors in the order y, x, z (that of A2J-Transformer's code).

    Args:
        anchors: (..., 3) as (x, y, z), each axis spanning [0, 1].
        channels_per_axis: Even number of channels for each axis.

    Returns:
        (..., 3 * channels_per_axis).
    """
    x, y, z = anchors.unbind(-1)
    return torch.cat([sine_encoding(axis, channels_per_axis) for axis in (y, x, z)], dim=-1)
