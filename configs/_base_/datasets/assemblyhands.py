# The ego views of AssemblyHands (v1.1) in their official layout below `data_root`: see
# dfmamba/datasets/assemblyhands/dataset.py.
#
# A config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = '/data/assemblyhands'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# Crop (1.75 times the box) and the lack of any augmentation are the toolkit's; batch size is A2J-Transformer's. The ground truth
# of the test split was never published: val serves as both. `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

_base_ = ["../data_loading.py"]

dataset_type = "AssemblyHandsDataset"
data_root = "data/assemblyhands"
input_size = (256, 256)
codec = dict(type="A2JCodec", input_size=input_size)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.75),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.75),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]

train_dataloader = dict(dataset=dict(type=dataset_type, split="train", data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type, split="val", data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(type=dataset_type, split="val", data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(type="AssemblyHandsMPJPE")
test_evaluator = dict(type="AssemblyHandsMPJPE")
