"""Synthetic hands: a kinematic hand, its skin, a renderer, and one writer for each official layout."""
