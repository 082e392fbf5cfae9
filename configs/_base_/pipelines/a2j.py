# InterNet's and A2J-Transformer's crop and augmentation of RGB images. `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

_base_ = ["../data_loading.py"]

input_size = (256, 256)
codec = dict(type="A2JCodec", input_size=input_size)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="RandomHandBBoxTransform", shift=0.15, scale=0.25, rotation_deg=45.0, rotation_prob=0.6),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="RandomColorScale", low=0.8, high=1.2),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
