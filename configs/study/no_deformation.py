"""The study of deformation on SYNTHETIC hands: plain Mamba blocks in the place of DSSM."""

_base_ = ["./dfmamba.py"]
model = dict(backbone=dict(blocks=("conv", "mamba", "gated", "mamba", "gated", "gated")))
