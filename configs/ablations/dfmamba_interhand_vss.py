"""Ablation on InterHand2.6M: VMamba's VSS blocks in DSSM's place.

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(blocks=("conv", "conv", "vss", "gated", "vss", "gated")))
