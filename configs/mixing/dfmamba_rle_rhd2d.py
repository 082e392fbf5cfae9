"""DF-Mamba under mmpose's regression head with residual log-likelihood estimation (RLE): 21 joints in 2D.

Example, untrained: no result is known. Expected data: as mmpose expects it, data/rhd/.
"""

_base_ = ["mmpose::hand_2d_keypoint/topdown_regression/rhd2d/td-reg_res50_8xb64-210e_rhd2d-256x256.py"]
custom_imports = dict(imports=["dfmamba.models", "dfmamba.visualization.hand_visualizer"], allow_failed_imports=False)
visualizer = dict(type="HandVisualizer")
model = dict(
    backbone=dict(_delete_=True, type="DFMamba", arch="tiny", out_indices=(5,)),
    head=dict(type="RLEHead", in_channels=576, loss=dict(_delete_=True, type="RLELoss", use_target_weight=True)),
    test_cfg=dict(_delete_=True, flip_test=True, shift_coords=True),
)
