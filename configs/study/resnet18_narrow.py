"""The study of deformation on SYNTHETIC hands: ResNet-18 with a quarter of its channels, at the same multiply-adds."""

_base_ = ["./dfmamba.py"]
backbone = dict(_delete_=True, type="ResNet", depth=18, stem_channels=16, base_channels=16, out_indices=(1, 2, 3))
model = dict(backbone=backbone, head=dict(in_channels=[32, 64, 128]))
