"""A2J-Transformer's schedule as the authors of DF-Mamba ran it: 42 epochs, a fifth of the rate after 28 and 38.

Sources: paper (arXiv 2512.02727) for the framework; learning rate, decay epochs and batch from public experiments of the
same authors; whether the published results used just these is unverified.
"""

optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-4, fused=True))
param_scheduler = [dict(type="MultiStepLR", begin=0, end=42, milestones=[28, 38], gamma=0.2, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=42, val_interval=1)
val_cfg = dict()
test_cfg = dict()
# The rate above is for 48 images in a step over all GPUs; `--auto-scale-lr` adapts it to another number.
auto_scale_lr = dict(base_batch_size=48)
