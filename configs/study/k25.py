"""The study of deformation on SYNTHETIC hands: 25 points a position."""

_base_ = ["./dfmamba.py"]
model = dict(backbone=dict(num_anchors=25))
