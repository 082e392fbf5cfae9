"""The toy project trained by iterations instead of epochs."""
# ruff: noqa: C408

_base_ = ["toy_config.py"]

train_cfg = dict(_delete_=True, by_epoch=False, max_iters=10, val_interval=4)
param_scheduler = [dict(type="MultiStepLR", milestones=[6], by_epoch=False)]
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3))
