"""The demo twin for DexYCB: nano DF-Mamba with a small DetNet head on the SYNTHETIC set, minutes on two CPU cores.

Made and run by tools/run_demo.py --data-set dexycb; its data: tools/make_dataset.py dexycb --train 640 --test 128
--view-spread 30. Its errors say that the road from data to table is open, and nothing about real hands. They know the
true length of the bone wrist-middle1, as those of the full model do. Crops have 64 px, maps 16 x 16 cells.
"""

_base_ = ['../dfmamba_dexycb.py']

data_root = 'data/synthetic_dexycb'
input_size, map_size = (64, 64), (16, 16)
codec = dict(type='DetNetCodec', input_size=input_size, map_size=map_size)

model = dict(
    backbone=dict(arch='nano'),
    neck=dict(out_channels=64, map_size=map_size),
    head=dict(hidden_channels=64, decoder=codec))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ToSingleHand'),
    dict(type='MirrorLeftHand'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomBoxJitter', shift=0.1, scale=0.1, rotation_deg=30.0, rotation_prob=1.0),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='RotateCameraJoints'),
    dict(type='RandomChannelGain', low=0.6, high=1.4),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=('id', 'img_id', 'img_path')),  # few: they travel between processes
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ToSingleHand'),
    dict(type='MirrorLeftHand'),
    dict(type='AddBoneLength'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='PackPoseInputs', meta_keys={{_base_.detnet_meta_keys}}),
]
test_set = dict(split='test', data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

epochs = 60
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.01, fused=True), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=15)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=15, max_keep_ckpts=1, save_best=None))
