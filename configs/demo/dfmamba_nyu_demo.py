"""The demo config for NYU: nano DF-Mamba on SYNTHETIC depth images, minutes on two CPU cores.

Made and run by tools/run_demo.py --data-set nyu; its data: tools/make_dataset.py nyu --train 240 --test 60
--view-spread 30. Its errors show that the pipeline works end to end; they say nothing about real hands. The head is cut
down as in dfmamba_interhand_demo.py.
"""

_base_ = ["../dfmamba_nyu.py"]

data_root = "data/synthetic_nyu"
input_size = (96, 96)
codec = dict(type="A2JCodec", input_size=input_size, depth_bins=450, depth_range_mm=450.0)

model = dict(
    backbone=dict(arch="nano", out_norm=False),
    head=dict(
        input_size=input_size,
        decoder=codec,
        anchor_depths=(225.0,),
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
    dict(type="LoadNYUDepth"),
    dict(type="RandomDepthBoxJitter", pixels=5),
    dict(type="RandomRotateScale3D", rotation_deg=45, scale=(0.8, 1.2)),
    dict(type="CropDepthCube", input_size=input_size, half_depth_mm=150.0),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path")),  # few: they travel between processes
]
test_pipeline = [
    dict(type="LoadNYUDepth"),
    dict(type="CropDepthCube", input_size=input_size, half_depth_mm=150.0),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
test_set = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

epochs = 100
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=1.5e-3, weight_decay=0.01, fused=True), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type="LinearLR", begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=25)
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=25, max_keep_ckpts=1, save_best=None))
