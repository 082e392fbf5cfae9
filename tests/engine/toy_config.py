"""The config of the toy project."""
# ruff: noqa: C408

_base_ = ["../../configs/_base_/default_runtime.py"]

default_scope = "mmpose"
custom_imports = dict(imports=["toy_project", "dfmamba.engine"], allow_failed_imports=False, _delete_=True)
visualizer = dict(type="Visualizer")  # the toy draws no hands
num_samples = 8
picture = "curve.png"
custom_hooks = [
    dict(type="LossCurveHook", filename="loss_" + picture),
    dict(type="FirstBatchCheckHook"),
    dict(type="ProgressHook"),
]
dataset = dict(type="ToyHands", num_samples=num_samples)
model = dict(type="ToyModel", width=8)
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True), dataset=dataset)
val_dataloader = dict(batch_size=3, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False), dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = [dict(type="ToyMetric")]
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.01))
param_scheduler = [dict(type="MultiStepLR", milestones=[3], by_epoch=True)]
default_hooks = dict(checkpoint=dict(save_best="toy/error_px"), logger=dict(interval=2))
