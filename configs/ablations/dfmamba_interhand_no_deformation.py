"""Ablation on InterHand2.6M: plain Mamba blocks in DSSM's place: no deformation (Fig. 3 b).

All else as in dfmamba_interhand.py. Untrained.
"""

_base_ = ["../dfmamba_interhand.py"]
model = dict(backbone=dict(blocks=("conv", "conv", "mamba", "gated", "mamba", "gated")))
