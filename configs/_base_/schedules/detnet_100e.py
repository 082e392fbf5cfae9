"""DetNet's schedule after its public PyTorch port: Adam, 1e-3, 32 images a step; here 100 epochs.

The port plans 500 epochs and lowers the rate only after 250, but its best checkpoints are those of epochs 68 to 106.
What the authors of DF-Mamba used on DexYCB and AssemblyHands is not known.
"""

optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3, fused=True))
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=True)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
# The rate above is for 32 images in a step over all GPUs; `--auto-scale-lr` adapts it to another number.
auto_scale_lr = dict(base_batch_size=32)
