"""DF-Mamba on NYU depth images with A2J-Transformer's head: 14 joints from a 176x176 crop of a +-150 mm cube.

Expected data: data/nyu_hand_dataset_v2/dataset in the official layout, with A2J's nyu_center_train.mat and
nyu_center_test.mat in it (or centers='joints', see NYUDataset).

The paper (arXiv 2512.02727, Table 1) reports a mean error of 7.96 mm. This is the paper's figure; nobody has trained
this config on the real data yet.

The recipe is that of A2J-Transformer's public NYU script: Adam 1e-4 with weight decay 1e-4, 4 images a step, a fifth of
the rate after each 15 of 45 epochs (its paper says 42). The input has one channel; A2J-Transformer repeats it three times.
That script decays every parameter; here those that decay would spoil are left out (_base_/weight_decay.py).
Unverified: that DF-Mamba was trained just so.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/datasets/nyu.py",
    "_base_/models/dfmamba_a2j.py",
    "_base_/schedules/a2j_42e.py",
    "_base_/weight_decay.py",
]

model = dict(
    data_preprocessor=dict(mean=[0], std=[1], bgr_to_rgb=False),
    backbone=dict(in_channels=1),
    head=dict(
        num_joints=14,
        input_size=(176, 176),
        depth_bins=450,
        anchor_depths=(150.0, 225.0, 300.0),
        decoder={{_base_.codec}},
    ),
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg={{_base_.no_weight_decay}})
param_scheduler = [dict(type="StepLR", step_size=15, gamma=0.2, by_epoch=True)]
train_cfg = dict(max_epochs=45)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(save_best="nyu/mean_error_abs_mm"))
