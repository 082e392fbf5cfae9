"""The study of deformation on SYNTHETIC hands: VMamba at the same cost."""

_base_ = ["./dfmamba.py"]
arch = dict(dims=(24, 56, 96, 128), depths=(1, 2, 1, 1), expand=1.0)
model = dict(backbone=dict(_delete_=True, type="VMamba", arch=arch, out_indices=(1, 2, 3)))
