"""DF-Mamba under mmpose's heat map head: 21 joints in 2D, mmpose's own RHD config with another backbone.

Example, untrained: no result is known. Expected data: as mmpose expects it, data/rhd/.
"""

_base_ = ["mmpose::hand_2d_keypoint/topdown_heatmap/rhd2d/td-hm_res50_8xb64-210e_rhd2d-256x256.py"]
custom_imports = dict(imports=["dfmamba.models", "dfmamba.visualization.hand_visualizer"], allow_failed_imports=False)
visualizer = dict(type="HandVisualizer")
model = dict(backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(5,)), head=dict(in_channels=576))
