"""Ablation on InterHand2.6M: the scan reads LayerNorm(x + u) instead of u, an early experiment of the authors.

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(norm_scan_input=True))
