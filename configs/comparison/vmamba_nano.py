"""Comparison on SYNTHETIC hands: VMamba, cut down to nano's size."""

_base_ = ["./dfmamba_nano.py"]
model = dict(backbone=dict(_delete_=True, type="VMamba", arch="nano", out_indices=(1, 2, 3)))
