"""The study of deformation on SYNTHETIC hands: Spatial-Mamba at the same cost."""

_base_ = ["./dfmamba.py"]
arch = dict(dims=(16, 44, 80, 144), depths=(1, 1, 1, 1), expand=1.0)
model = dict(backbone=dict(_delete_=True, type="SpatialMamba", arch=arch, out_indices=(1, 2, 3)))
