"""DF-Mamba on RHP (the Rendered Handpose Dataset, RHD) with A2J-Transformer's head.

Expected data: data/RHD_published_v2 in the official layout, with InterNet's RHD_training.json and RHD_evaluation.json in
it, which choose one hand of each image. Without them the official pickles do: --cfg-options
train_dataloader.dataset.ann_file=None val_dataloader.dataset.ann_file=None test_dataloader.dataset.ann_file=None; the
choice of hands is then ours and may differ in a few images. Test with ground-truth boxes and root depth.

The paper (arXiv 2512.02727, Table 1) reports an EPE of 17.16 mm (wrist-aligned). This is the paper's figure; nobody has
trained this config on the real data yet.

Unverified: learning rate, batch (here 4 GPUs x 12) and decay are those of InterHand2.6M; only the 42 epochs are printed,
by A2J-Transformer.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/datasets/rhp.py",
    "_base_/models/dfmamba_a2j.py",
    "_base_/schedules/a2j_42e.py",
]

model = dict(head=dict(decoder={{_base_.codec}}))
train_dataloader = dict(dataset=dict(ann_file="RHD_training.json"))
val_dataloader = dict(dataset=dict(ann_file="RHD_evaluation.json"))
test_dataloader = dict(dataset=dict(ann_file="RHD_evaluation.json"))
default_hooks = dict(checkpoint=dict(save_best="rhp/EPE_rr_macro_mm"))
