"""Comparison on SYNTHETIC hands: nano DF-Mamba with plain Mamba blocks where it has DSSM."""

_base_ = ["./dfmamba_nano.py"]
model = dict(backbone=dict(blocks=("conv", "conv", "mamba", "gated", "mamba", "gated")))
