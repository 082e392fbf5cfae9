"""DF-Mamba on the ego views of AssemblyHands with DetNet's head (Zhou et al. 2020).

Expected data: data/assemblyhands in the official layout, v1.1. Test on val: the ground truth of test was never published.

The paper (arXiv 2512.02727, Table 1) reports an MPJPE of 18.78 mm and an AUC of 86.12 %. These are the paper's figures;
nobody has trained this config on the real data yet. How they align and scale is not printed; the best public guess is
S2DHand's evaluation (scaled by the true bone wrist-middle1, AUC 20-50 mm), the row "bone-scaled" of the table.

Unverified: the whole recipe. It is that of DetNet's public PyTorch port, see _base_/schedules/detnet_100e.py.
"""

_base_ = [
    "_base_/default_runtime.py",
    "_base_/datasets/assemblyhands.py",
    "_base_/pipelines/detnet.py",
    "_base_/models/dfmamba_detnet.py",
    "_base_/schedules/detnet_100e.py",
]

model = dict(head=dict(decoder={{_base_.detnet_codec}}))
train_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.detnet_train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.detnet_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.detnet_test_pipeline}}))
val_evaluator = [dict(type="DetNetMPJPE"), dict(type="AssemblyHandsMPJPE", prefix="assemblyhands_true_bone")]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="assemblyhands_true_bone/MPJPE_rr_macro_mm"))
