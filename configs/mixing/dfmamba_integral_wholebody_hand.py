"""DF-Mamba under mmpose's integral regression head (DSNT, soft-argmax): 21 joints in 2D.

mmpose has this head for bodies only; the data set is changed to hands. Example, untrained: no result is known. Expected
data: as mmpose expects COCO-WholeBody-Hand, data/coco/.
"""

_base_ = ["mmpose::body_2d_keypoint/integral_regression/coco/ipr_res50_8xb64-210e_coco-256x256.py"]
custom_imports = dict(imports=["dfmamba.models", "dfmamba.visualization.hand_visualizer"], allow_failed_imports=False)
visualizer = dict(type="HandVisualizer")
model = dict(
    backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(5,)),
    head=dict(in_channels=576, num_joints=21),
    init_cfg=None,
)

hands = dict(type="CocoWholeBodyHandDataset")
train_annotation = "annotations/coco_wholebody_train_v1.0.json"
test_annotation = "annotations/coco_wholebody_val_v1.0.json"
train_dataloader = dict(dataset=dict(**hands, ann_file=train_annotation))
val_dataloader = dict(dataset=dict(**hands, ann_file=test_annotation, bbox_file=None))
test_dataloader = val_dataloader
evaluator = [dict(type="PCKAccuracy", thr=0.2), dict(type="AUC"), dict(type="EPE")]
val_evaluator = evaluator
test_evaluator = evaluator
default_hooks = dict(checkpoint=dict(save_best="AUC", rule="greater"))
