"""Heads. Importing this needs mmpose and registers them there."""

from .a2j import A2JHead
from .detnet import DetNetHead
from .hand_finder import HandFinderHead

__all__ = ["A2JHead", "DetNetHead", "HandFinderHead"]
