"""Ablation on InterHand2.6M: convolution blocks only.

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(blocks=("conv",) * 6))
