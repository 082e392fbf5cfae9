"""The study of deformation on SYNTHETIC hands: gated convolution in the place of DSSM."""

_base_ = ["./dfmamba.py"]
model = dict(backbone=dict(blocks=("conv", "gated", "gated", "gated", "gated", "gated")))
