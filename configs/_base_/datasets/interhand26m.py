# InterHand2.6M v1.0, 5 fps, in its official layout below `data_root`: see
# dfmamba/datasets/interhand26m/dataset.py.
#
# A config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = 'data/InterHand2.6M_30fps'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# Crop, augmentation and batch size are InterNet's and A2J-Transformer's. `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

_base_ = ["../pipelines/a2j.py"]

dataset_type = "InterHand26MDataset"
data_root = "data/InterHand2.6M_5fps"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.15, scale=0.25, rotation_deg=45.0, rotation_prob=0.6),
    dict(type="TopdownAffine", input_size={{_base_.input_size}}),
    dict(type="RandomColorScale", low=0.8, high=1.2),
    dict(type="MaskBlankImage"),  # of which this set has some
    dict(type="GenerateTarget", encoder={{_base_.codec}}),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
train_dataloader = dict(dataset=dict(type=dataset_type, split="train", data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type=dataset_type, split="val", data_root=data_root, pipeline={{_base_.test_pipeline}})
)
test_dataloader = dict(
    dataset=dict(type=dataset_type, split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)

val_evaluator = dict(type="InterHandMPJPE")
test_evaluator = dict(type="InterHandMPJPE")
