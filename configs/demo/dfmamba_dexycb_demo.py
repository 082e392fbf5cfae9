"""The demo config for DexYCB: nano DF-Mamba with a small DetNet head on the SYNTHETIC set, minutes on two CPU cores.

Made and run by tools/run_demo.py --data-set dexycb; its data: tools/make_dataset.py dexycb --train 640 --test 128
--view-spread 30. Its errors show that the pipeline works end to end; they say nothing about real hands. They know the
true length of the bone wrist-middle1, as those of the full model do. Crops have 64 px, maps 16 x 16 cells.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/demo_detnet.py"]

data_root = "data/synthetic_dexycb"
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
test_set = dict(split="test", data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, pipeline={{_base_.demo_train_pipeline}}))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

model = {{_base_.demo_model}}
optim_wrapper = {{_base_.demo_optim_wrapper}}
param_scheduler = {{_base_.demo_param_scheduler}}
train_cfg = {{_base_.demo_train_cfg}}
default_hooks = {{_base_.demo_default_hooks}}
