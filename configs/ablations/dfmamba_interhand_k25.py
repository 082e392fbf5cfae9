"""Ablation on InterHand2.6M: 25 anchors (K = 25).

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(num_anchors=25))
