"""Codecs: from joints to training targets and back. Importing this registers them with mmpose."""

from .a2j import A2JCodec
from .detnet import DetNetCodec
from .hand_box import HandBoxCodec

__all__ = ["A2JCodec", "DetNetCodec", "HandBoxCodec"]
