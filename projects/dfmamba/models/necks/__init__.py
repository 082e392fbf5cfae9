"""Necks. Importing this needs mmpose and registers them there."""

from .feature_fusion import FeatureFusionNeck

__all__ = ["FeatureFusionNeck"]
