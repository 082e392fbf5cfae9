"""DF-Mamba as the backbone of mmdet's RetinaNet: a hand detector.

Example, untrained: no result is known. Expected data: hand boxes in COCO's format, category "hand", in data/coco/.
"""

_base_ = [
    "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    "../_base_/weight_decay.py",
]
custom_imports = dict(imports=["dfmamba.models"], allow_failed_imports=False)
model = dict(
    backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(0, 1, 3, 5)),
    neck=dict(in_channels=[64, 128, 320, 576]),
    bbox_head=dict(num_classes=1),
)

hands = dict(classes=("hand",))
train_dataloader = dict(dataset=dict(metainfo=hands))
val_dataloader = dict(dataset=dict(metainfo=hands))
test_dataloader = dict(dataset=dict(metainfo=hands))
optim_wrapper = dict(paramwise_cfg={{_base_.no_weight_decay}})
