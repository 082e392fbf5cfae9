"""Fine-tune the model in the box on your own data: nano DF-Mamba, minutes on two CPU cores.

Expected data: train.json and test.json of docs/own_data.md in data/own_data; elsewhere with --cfg-options data_root=...
The model starts from the weights that the package brings (dfmamba/apis/model_in_the_box), which have seen SYNTHETIC hands
only: it learns fast what your pictures look like, and it is small. Figures of a run on 20 pictures stand in that document.
"""

_base_ = ["../box/nano.py"]

load_from = "{{ fileDirname }}/../../projects/dfmamba/apis/model_in_the_box/weights.pth"

data_root = "data/own_data"
# A picture may show more hands than the sample's own two: a place without a joint may well have a hand.
train_pipeline = [dict(step, empty=0.0) if step["type"] == "RandomImageBox" else step for step in _base_.train_pipeline]
train_set = dict(type="OwnHandsDataset", split="train", data_root=data_root, pipeline=train_pipeline)
test_set = dict(
    type="OwnHandsDataset", split="test", data_root=data_root, pipeline={{_base_.test_pipeline}}, test_mode=True
)
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(_delete_=True, **train_set))
val_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(_delete_=True, **test_set))
test_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(_delete_=True, **test_set))
val_evaluator = dict(_delete_=True, type="OwnDataMPJPE")
test_evaluator = dict(_delete_=True, type="OwnDataMPJPE")

epochs = 60
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type="LinearLR", begin=0, end=10, start_factor=0.1, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10, max_keep_ckpts=1))
