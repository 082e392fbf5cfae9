"""The model in the box: nano DF-Mamba on SYNTHETIC photographs, for any picture; hours on two CPU cores.

Its data, the sittings of its training and its errors stand in docs/model_in_the_box.md. Beside the demo's model: crops of
128 px, pictures of all kinds of cameras, boxes of whole images and of places without hands, and the presence of each hand.
"""

_base_ = ["../demo/dfmamba_interhand_demo.py"]

input_size = (128, 128)
codec = dict(type="A2JCodec", input_size=input_size)

model = dict(
    head=dict(
        input_size=input_size,
        decoder=codec,
        embed_dims=96,
        num_decoder_layers=2,
        feedforward_channels=192,
        presence_loss_weight=1.0,
    ),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="RandomImageBox", whole=0.1, empty=0.05),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.1, scale=0.25, rotation_deg=30.0, rotation_prob=0.5),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="RandomOccluders", prob=0.2),
    dict(type="RandomCameraEffects", prob=0.5, strength=0.7),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path", "hand_type", "hand_type_valid")),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
