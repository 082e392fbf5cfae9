"""Comparison on SYNTHETIC interacting hands (tools/compare.py): nano DF-Mamba. The other configs inherit the budget.

Data: tools/make_dataset.py interhand26m --out data/synthetic_comparison --train 2400 --test 600 --view-spread 30. Sizes are
small enough to finish on two CPU cores; the errors say nothing about real hands.
"""

_base_ = ["../demo/dfmamba_interhand_demo.py"]

data_root = "data/synthetic_comparison"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))

epochs = 8
param_scheduler = [
    dict(type="LinearLR", begin=0, end=100, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="DeformationHook", interval=100)]
