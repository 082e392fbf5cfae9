# One's own data in the JSON file of docs/own_data.md, train.json and test.json below `data_root`: see
# dfmamba/datasets/own_data/dataset.py.
#
# A config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = 'data/mine'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# Crop and augmentation are InterNet's and A2J-Transformer's. There need not be a val.json: test serves as both.
# `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

_base_ = ["../pipelines/a2j.py"]

dataset_type = "OwnHandsDataset"
data_root = "data/own_data"

train_dataloader = dict(
    dataset=dict(type=dataset_type, split="train", data_root=data_root, pipeline={{_base_.train_pipeline}})
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)
test_dataloader = dict(
    dataset=dict(type=dataset_type, split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)

val_evaluator = dict(type="OwnDataMPJPE")
test_evaluator = dict(type="OwnDataMPJPE")
