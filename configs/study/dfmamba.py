"""What deformation brings, on SYNTHETIC hands (tools/compare.py): DF-Mamba with DSSM on maps of 12x12 tokens.

The other configs here inherit data and budget. Their whole models have the same multiply-adds, 0.029 to 0.033 G at 96 px,
and the same parameters, 0.63 to 0.66 M; only ResNet-18 needs more, 0.81 M. Nano itself has its DSSM on 6x6 and 3x3 tokens
at this size, where there is little to deform. Data: as in ../comparison/dfmamba_nano.py. In short trials a learning rate of
4e-3 learnt faster than the demo's 1.5e-3 and than 1e-2 (docs/model_in_the_box.md).
"""

_base_ = ["../comparison/dfmamba_nano.py"]

stages = [
    dict(block="conv", channels=16, depth=1, stride=4),
    dict(block="dssm", channels=48, depth=1, stride=8),
    dict(block="gated", channels=48, depth=1, stride=8),
    dict(block="dssm", channels=48, depth=1, stride=8),
    dict(block="gated", channels=96, depth=1, stride=16),
    dict(block="gated", channels=128, depth=1, stride=32),
]
model = dict(backbone=dict(arch=dict(_delete_=True, stem_channels=16, stages=stages), group_channels=48))

epochs = 40
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [
    dict(type="LinearLR", begin=0, end=100, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
