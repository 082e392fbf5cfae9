"""The study of deformation on SYNTHETIC hands: a start at which all offsets learn, and no point far away."""

_base_ = ["./dfmamba.py"]
model = dict(backbone=dict(center_weight=0.5, offset_bound=4.0))
