"""DF-Mamba on InterHand2.6M (5 fps, H+M) with A2J-Transformer's head: the paper's main setting.

Expected data: data/InterHand2.6M_5fps in the official v1.0 layout (docs/data.md). Test with ground-truth boxes and
ground-truth root depth.

The paper (arXiv 2512.02727, Table 1) reports, in mm MPJPE, root-relative, macro average: single 7.94, two 10.53, all
9.32. These are the paper's figures; nobody has trained this config on the real data yet, so neither its result nor its
training time and memory are known.

Unverified: the paper prints neither the learning rate nor the batch. 1e-4, 48 images a step (here 4 GPUs x 12), decay at
28 and 38 of 42 epochs come from public experiments of the same authors. No pretrained weights, no seed is known; 0 here.
On another number of GPUs add --auto-scale-lr, or keep 48 with --cfg-options train_dataloader.batch_size=...
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/datasets/interhand26m.py",
    "_base_/models/dfmamba_a2j.py",
    "_base_/schedules/a2j_42e.py",
]

model = dict(head=dict(decoder={{_base_.codec}}))
train_dataloader = dict(batch_size=12)
