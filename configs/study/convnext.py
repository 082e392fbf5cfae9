"""The study of deformation on SYNTHETIC hands: ConvNeXt at the same cost."""

_base_ = ["./dfmamba.py"]
backbone = dict(
    _delete_=True,
    type="TimmBackbone",
    model="convnext_atto",
    dims=(24, 56, 104, 136),
    depths=(1, 3, 2, 1),
    out_indices=(1, 2, 3),
)
model = dict(backbone=backbone)
