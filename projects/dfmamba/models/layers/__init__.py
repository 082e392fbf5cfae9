"""Layers that heads and backbones are made of, one idea a file; they need torch alone."""
