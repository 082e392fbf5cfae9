"""Comparison on SYNTHETIC hands: ResNet-18, untrained, five times nano's size."""

_base_ = ["./dfmamba_nano.py"]
model = dict(
    backbone=dict(_delete_=True, type="ResNet", depth=18, out_indices=(1, 2, 3)), head=dict(in_channels=[128, 256, 512])
)
