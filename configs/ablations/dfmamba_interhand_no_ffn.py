"""Ablation on InterHand2.6M: without the feed-forward networks.

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(mlp_ratio=0))
