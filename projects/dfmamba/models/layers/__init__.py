"""Layers that heads and backbones are made of; they need torch alone."""

from .cross_scan import cross_merge, cross_scan
from .deformable_attention import DeformableAttention, Levels
from .position_encoding import anchor_encoding, image_encoding, pixel_centres
from .simple_pyramid import SimplePyramid
from .state_scan import read_states, scan_states
from .token_conv import TokenMapConv

__all__ = [
    "DeformableAttention",
    "Levels",
    "SimplePyramid",
    "TokenMapConv",
    "anchor_encoding",
    "cross_merge",
    "cross_scan",
    "image_encoding",
    "pixel_centres",
    "read_states",
    "scan_states",
]
