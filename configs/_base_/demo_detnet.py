# What the demo configs under DetNet's head share: 64 px crops, joints along the line of sight, maps of 16 x 16 cells, a
# small neck and head, 60 epochs; but AssemblyHands' has 30. A demo config lists this file beside its full config and
# assigns each of these variables to the key of its name.

_base_ = ["weight_decay.py"]

demo_codec = dict(type="DetNetCodec", input_size=(64, 64), map_size=(16, 16))
demo_model = dict(
    backbone=dict(arch="nano"),
    neck=dict(out_channels=64, map_size=(16, 16)),
    head=dict(hidden_channels=64, decoder=demo_codec),
)

demo_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ToSingleHand"),
    dict(type="MirrorLeftHand"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.1, scale=0.1, rotation_deg=30.0, rotation_prob=1.0),
    dict(type="AddViewRotation"),
    dict(type="TopdownAffine", input_size=(64, 64)),
    dict(type="RotateKeypoints3D"),
    dict(type="RandomColorScale", low=0.6, high=1.4),
    dict(type="GenerateTarget", encoder=demo_codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path")),  # few: they travel between processes
]

demo_epochs = 60
demo_optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg={{_base_.no_weight_decay}},
)
demo_param_scheduler = [
    dict(type="LinearLR", begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=demo_epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
demo_train_cfg = dict(max_epochs=demo_epochs, val_interval=15)
demo_default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=15, max_keep_ckpts=1, save_best=None))
