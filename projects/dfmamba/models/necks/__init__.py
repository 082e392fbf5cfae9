"""Necks. Importing this needs mmpose and registers them there."""

from .single_map import SingleMapNeck

__all__ = ["SingleMapNeck"]
