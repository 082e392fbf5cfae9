"""Nano DF-Mamba with a small DetNet head on the toy data set."""

_base_ = [
    "../../../configs/_base_/default_runtime.py",
    "../../../configs/_base_/data_loading.py",
    "../../../configs/_base_/pipelines/detnet.py",
    "../../../configs/_base_/models/dfmamba_detnet.py",
    "../../../configs/_base_/schedules/detnet_100e.py",
    "../../../configs/_base_/demo_detnet.py",
]

custom_imports = dict(imports=["toy_hands.spec", "dfmamba.register"], allow_failed_imports=False)
data_root = "data/toy_hands"
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ToSingleHand"),
    dict(type="MirrorLeftHand"),
    dict(type="AddBoneLength"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="AddViewRotation"),
    dict(type="TopdownAffine", input_size=(64, 64)),
    dict(type="PackPoseInputs", meta_keys={{_base_.detnet_meta_keys}}),
]
images = dict(img="images")
train_set = dict(
    type="ToyHandsDataset", data_root=data_root, data_prefix=images, pipeline={{_base_.demo_train_pipeline}}
)
test_set = dict(type="ToyHandsDataset", data_root=data_root, data_prefix=images, pipeline=test_pipeline)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=train_set)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=test_set)
test_dataloader = val_dataloader
val_evaluator = dict(type="HandMetric", data_set="toy_hands")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="toy_hands/MPJPE_rr_macro_mm"))

model = {{_base_.demo_model}}
optim_wrapper = {{_base_.demo_optim_wrapper}}
train_cfg = dict(max_epochs=1, val_interval=1)
