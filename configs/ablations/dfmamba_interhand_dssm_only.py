"""Ablation on InterHand2.6M: DSSM blocks only.

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(blocks=("dssm",) * 6))
