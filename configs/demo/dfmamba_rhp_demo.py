"""The demo config for RHP: nano DF-Mamba on the SYNTHETIC RHD set, minutes on two CPU cores.

Made and run by tools/run_demo.py --data-set rhp; its data: tools/make_dataset.py rhp --train 800 --test 120
--view-spread 30. Its errors show that the pipeline works end to end; they say nothing about real hands. The head is cut
down as in dfmamba_interhand_demo.py.
"""

_base_ = ["../dfmamba_rhp.py", "../_base_/weight_decay.py"]

data_root = "data/synthetic_rhp"
input_size = (96, 96)
codec = dict(type="A2JCodec", input_size=input_size)

model = dict(
    backbone=dict(arch="nano", out_norm=False),
    head=dict(
        input_size=input_size,
        decoder=codec,
        anchor_depths=(127.5,),
        num_extra_levels=0,
        embed_dims=64,
        num_heads=4,
        num_encoder_layers=0,
        num_decoder_layers=1,
        feedforward_channels=128,
        dropout=0.0,
        assignment_loss_weight=20.0,
    ),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.05, scale=0.1, rotation_deg=30.0, rotation_prob=0.6),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="RandomColorScale", low=0.8, high=1.2),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path")),  # few: they travel between processes
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
test_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

epochs = 40
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=1.5e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg={{_base_.no_weight_decay}},
)
param_scheduler = [
    dict(type="LinearLR", begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=10, max_keep_ckpts=1, save_best=None))
