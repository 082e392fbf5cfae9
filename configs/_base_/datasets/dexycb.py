# DexYCB, set-up s0, in its official layout below `data_root` (see dfmamba/datasets/dexycb/dataset.py for the tree).
#
# A config that changes `data_root`, or the set-up, sets them in each data loader:
#     data_root = '/data/DexYCB'
#     train_dataloader = dict(dataset=dict(data_root=data_root, setup='s1'))  # likewise val_dataloader, test_dataloader
# The toolkit gives no crop: the box is 1.2 times the tight box of `joint_2d`, enlarged by 1.25 as for InterHand2.6M.
# Augmentation and batch size are InterNet's and A2J-Transformer's; the paper uses DetNet here. Right and left hands
# have the same 21 joints. Joints are lifted with the true depth of the wrist, so the absolute errors know it.
# `codec` is meant for the head as well:
#     model = dict(head=dict(num_joints=21, decoder={{_base_.codec}}))

_base_ = ["../pipelines/a2j.py"]

dataset_type = "DexYCBDataset"
data_root = "data/DexYCB"

train_dataloader = dict(
    dataset=dict(type=dataset_type, setup="s0", split="train", data_root=data_root, pipeline={{_base_.train_pipeline}})
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, setup="s0", split="val", data_root=data_root, pipeline={{_base_.test_pipeline}})
)
test_dataloader = dict(
    dataset=dict(type=dataset_type, setup="s0", split="test", data_root=data_root, pipeline={{_base_.test_pipeline}})
)

val_evaluator = dict(type="DexYCBMPJPE")
test_evaluator = dict(type="DexYCBMPJPE")
