"""Ablation on InterHand2.6M: one anchor, the center, with a learned offset (K = 1).

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(num_anchors=1))
