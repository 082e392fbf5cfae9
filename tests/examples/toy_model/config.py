"""The toy backbone and head in the demo's config."""

_base_ = ["../../../configs/demo/dfmamba_interhand_demo.py"]

custom_imports = dict(imports=["dfmamba.register", "toy_model.backbone", "toy_model.head"])
model = dict(
    backbone=dict(_delete_=True, type="ThreeConvs"),
    head=dict(_delete_=True, type="MeanHead", decoder={{_base_.codec}}),
    test_cfg=dict(flip_test=False),
)
