"""Backbones."""

from .dfmamba import ARCHS, DFMamba

__all__ = ["ARCHS", "DFMamba"]
