"""Layers that heads are made of; they need torch alone."""

from .deformable_attention import DeformableAttention, Levels
from .position_encoding import anchor_encoding, image_encoding, pixel_centres

__all__ = ["DeformableAttention", "Levels", "anchor_encoding", "image_encoding", "pixel_centres"]
