"""Overfit nano DF-Mamba to the four REAL InterHand2.6M samples of mmpose's tests, and test on the same four.

It shows that real files take the same way and that the joints land on the fingers; it says nothing about accuracy.
Expected data: data/interhand2.6m, which is the folder tests/data/interhand2.6m of mmpose's repository
(github.com/open-mmlab/mmpose): image{2017,29590,44669,69148}.jpg and test_interhand2.6m_{data,camera,joint_3d}.json.
"""

_base_ = ["dfmamba_interhand_demo.py"]

model = dict(test_cfg=dict(flip_test=False))  # mirrored images were never seen

data_root = "data/interhand2.6m"
four_samples = dict(
    type="InterHand26MDataset",
    data_root=data_root,
    ann_file="test_interhand2.6m_data.json",
    camera_file="test_interhand2.6m_camera.json",
    joint_file="test_interhand2.6m_joint_3d.json",
    data_prefix=dict(img=""),
)
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale", padding=1.25),
    dict(type="TopdownAffine", input_size={{_base_.input_size}}),
    dict(type="GenerateTarget", encoder={{_base_.codec}}),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
repeated = dict(_delete_=True, type="RepeatDataset", times=50, dataset=dict(pipeline=train_pipeline, **four_samples))
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=repeated)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=four_samples)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=four_samples)

epochs = 6  # of 50 steps with all four samples
param_scheduler = [
    dict(type="LinearLR", begin=0, end=20, start_factor=0.01, by_epoch=False),
    dict(type="CosineAnnealingLR", T_max=epochs, eta_min=2e-5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
