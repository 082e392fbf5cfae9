"""DF-Mamba under mmpose's InterNet head: 3D joints of two hands, handedness and root depth on InterHand2.6M.

Example, untrained: no result is known. Expected data: as mmpose expects it, data/interhand2.6m/.
"""

_base_ = ["mmpose::hand_3d_keypoint/internet/interhand3d/internet_res50_4xb16-20e_interhand3d-256x256.py"]
custom_imports = dict(imports=["dfmamba.models", "dfmamba.visualization.hand_visualizer"], allow_failed_imports=False)
visualizer = dict(type="HandVisualizer")
channels = dict(in_channels=576)
model = dict(
    backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(5,)),
    head=dict(keypoint_head_cfg=channels, root_head_cfg=channels, hand_type_head_cfg=channels),
)
