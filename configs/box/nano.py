"""The model in the box: nano DF-Mamba on SYNTHETIC photographs, for any picture; hours on two CPU cores.

Its data, the sittings of its training and its errors stand in docs/model_in_the_box.md. Beside the demo's model: crops of
128 px, two decoder layers, pictures of all kinds of cameras, boxes of whole images and of places without hands, the
presence of each hand, and a moving average of the weights.
"""

_base_ = ["../demo/dfmamba_interhand_demo.py"]

input_size = (128, 128)
codec = dict(type="A2JCodec", input_size=input_size)

model = dict(head=dict(input_size=input_size, decoder=codec, num_decoder_layers=2, presence_loss_weight=20.0))

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="RandomImageBox", whole=0.1, empty=0.05),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.1, scale=0.25, rotation_deg=30.0, rotation_prob=0.5),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="RandomOccluders", prob=0.2),
    dict(type="RandomCameraEffects", prob=0.3, strength=0.7),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path", "hand_type", "hand_type_valid")),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]

# Those of the last sitting, the first also for testing; how they are made: docs/model_in_the_box.md.
folders = ("data/box_photo1", "data/box_photo3", "data/box_studio")
parts = [
    dict(type="InterHand26MDataset", split="train", data_root=folder, pipeline=train_pipeline) for folder in folders
]
# Each part has its own `data_source`, by which ConcatDataset would refuse them.
together = dict(_delete_=True, type="ConcatDataset", datasets=parts, ignore_keys="data_source")
train_dataloader = dict(dataset=together)
test_set = dict(data_root="data/box_photo1", pipeline=test_pipeline)
val_dataloader = dict(dataset=test_set)
test_dataloader = dict(dataset=test_set)

epochs = 21
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type="LinearLR", begin=0, end=200, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.002, gamma=200),
    dict(type="DeformationHook", interval=500),
]
