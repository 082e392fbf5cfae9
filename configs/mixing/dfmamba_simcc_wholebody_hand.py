"""DF-Mamba under RTMPose's head (SimCC with a gated attention unit): 21 joints in 2D.

Example, untrained: no result is known. Expected data: as mmpose expects COCO-WholeBody-Hand, data/coco/.
"""

_base_ = [
    "mmpose::hand_2d_keypoint/rtmpose/coco_wholebody_hand/rtmpose-m_8xb32-210e_coco-wholebody-hand-256x256.py",
    "../_base_/weight_decay.py",
]
custom_imports = dict(imports=["dfmamba.models", "dfmamba.visualization.hand_visualizer"], allow_failed_imports=False)
visualizer = dict(type="HandVisualizer")
model = dict(backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(5,)), head=dict(in_channels=576))
optim_wrapper = dict(paramwise_cfg={{_base_.no_weight_decay}})
