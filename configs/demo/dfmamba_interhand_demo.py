"""The demo: nano DF-Mamba on the SYNTHETIC InterHand2.6M set, minutes on two CPU cores. Made and run by `make demo`.

Its data: `python tools/make_dataset.py interhand26m --out data/synthetic_interhand26m`. Its errors say that the road is
open from data to table; they say nothing about real hands and cannot be compared with published ones.
"""

_base_ = ['../dfmamba_interhand.py']

data_root = 'data/synthetic_interhand26m'
input_size = (96, 96)
codec = dict(type='A2JCodec', input_size=input_size)

model = dict(
    backbone=dict(arch='nano'),
    head=dict(
        input_size=input_size, decoder=codec, num_extra_levels=0, embed_dims=64, num_heads=4, num_encoder_layers=2,
        num_decoder_layers=2, feedforward_channels=128, dropout=0.0))

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomHandFlip', prob=0.5),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomBoxJitter', shift=0.1, scale=0.15, rotation_deg=30.0, rotation_prob=0.6),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='RandomChannelGain', low=0.8, high=1.2),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys={{_base_.meta_keys}}),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='PackPoseInputs', meta_keys={{_base_.meta_keys}}),
]
test_set = dict(split='test', data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=16, num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

epochs = 30
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=epochs, eta_min=2e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1, save_best=None))
