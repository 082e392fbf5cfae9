"""The study of deformation on SYNTHETIC hands: one point a position, K = 1."""

_base_ = ["./dfmamba.py"]
model = dict(backbone=dict(num_anchors=1))
