"""The hand finder in the box: nano DF-Mamba that finds right and left hands in pictures of 256 px; SYNTHETIC photographs.

Its data, training and errors stand in docs/hand_finder.md. Half of the pictures are seen whole, of the others a part around
the hands; both are 0.8 to 2.2 times as large as the crop.
"""

_base_ = ["nano.py"]

input_size = (256, 256)
map_size = (32, 32)
finder_codec = dict(type="HandBoxCodec", input_size=input_size, map_size=map_size)

model = dict(
    type="HandFinderEstimator",
    neck=dict(type="FeatureFusionNeck", out_channels=64, map_size=map_size),
    head=dict(_delete_=True, type="HandFinderHead", decoder=finder_codec),
    test_cfg=dict(flip_test=False),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomHandFlip", prob=0.5),
    dict(type="RandomImageBox", whole=0.5, empty=0.0),
    dict(type="GetBBoxCenterScale", padding=1.5),
    dict(type="RandomHandBBoxTransform", shift=0.2, scale=0.45, rotation_deg=20.0, rotation_prob=0.5),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="RandomOccluders", prob=0.2),
    dict(type="RandomCameraEffects", prob=0.3, strength=0.7),
    dict(type="GenerateTarget", encoder=finder_codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path")),  # few: they travel between processes
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="WholeImageBox"),
    dict(type="GetBBoxCenterScale", padding=1.0),
    dict(type="TopdownAffine", input_size=input_size),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
folders = ("data/box_photo1", "data/box_photo3", "data/box_studio")
parts = [
    dict(type="InterHand26MDataset", split="train", data_root=folder, pipeline=train_pipeline) for folder in folders
]
train_dataloader = dict(dataset=dict(datasets=parts))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type="HandBoxAP")
test_evaluator = dict(_delete_=True, type="HandBoxAP")
