"""Backbones."""

from .dfmamba import ARCHS, DFMamba
from .spatial_mamba import SPATIAL_MAMBA_ARCHS, SpatialMamba
from .timm_backbone import TimmBackbone
from .vmamba import VMAMBA_ARCHS, VMamba

__all__ = ["ARCHS", "SPATIAL_MAMBA_ARCHS", "VMAMBA_ARCHS", "DFMamba", "SpatialMamba", "TimmBackbone", "VMamba"]
