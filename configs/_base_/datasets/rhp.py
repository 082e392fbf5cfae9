# RHP (the Rendered Handpose Dataset, RHD v1.1) in its official layout below `data_root`: see
# dfmamba/datasets/rhp/dataset.py.
#
# A config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = '/data/RHD_published_v2'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# The published results use InterNet's JSON files, ann_file='RHD_training.json' and ann_file='RHD_evaluation.json',
# which have one hand of each image. From the pickles, which are the default, `hand` chooses: see parse_rhp.
# Crop, augmentation and batch size are InterNet's and A2J-Transformer's. There is no val split: test serves as both.
# `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

_base_ = ["../pipelines/a2j.py"]

dataset_type = "RHPDataset"
data_root = "data/RHD_published_v2"

train_dataloader = dict(
    dataset=dict(type=dataset_type, split="train", data_root=data_root, pipeline={{_base_.train_pipeline}})
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)
test_dataloader = dict(
    dataset=dict(type=dataset_type, split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)

val_evaluator = dict(type="RHPEPE")
test_evaluator = dict(type="RHPEPE")
