"""The demo config for AssemblyHands: nano DF-Mamba, small DetNet head, SYNTHETIC set, minutes on two CPU cores.

Made and run by tools/run_demo.py --data-set assemblyhands; its data: tools/make_dataset.py assemblyhands --train 1200
--val 80 --view-spread 30. Its errors show that the pipeline works end to end; they say nothing about real hands. They
know the true length of the bone wrist-middle1, as those of the full model do. Crops have 64 px, maps 16 x 16 cells.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/demo_detnet.py"]

data_root = "data/synthetic_assemblyhands"
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
test_set = dict(split="val", data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, pipeline={{_base_.demo_train_pipeline}}))
val_dataloader = dict(num_workers=1, dataset=test_set)
test_dataloader = dict(num_workers=1, dataset=test_set)

epochs = 30  # half of DexYCB's, on more hands
model = {{_base_.demo_model}}
optim_wrapper = {{_base_.demo_optim_wrapper}}
param_scheduler = [
    dict(type="LinearLR", begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)
default_hooks = {{_base_.demo_default_hooks}}
