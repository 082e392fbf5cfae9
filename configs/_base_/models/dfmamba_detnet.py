"""DF-Mamba under DetNet's head (Zhou et al. 2020): 21 joints of a right hand from a 128x128 RGB crop.

The levels of strides 4 to 32 become one map of 32x32 cells. A config gives the codec to the head, too:
`model = dict(head=dict(decoder={{_base_.codec}}))`. A bare head and neck need no channel numbers: see HandPoseEstimator.
"""

model = dict(
    type="HandPoseEstimator",
    # DetNet's PyTorch port takes RGB / 255 - 0.5.
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[255, 255, 255],
        bgr_to_rgb=True,
        non_blocking=True,
    ),
    backbone=dict(type="DFMamba", arch="tiny", out_indices=(0, 1, 3, 5)),
    neck=dict(type="FeatureFusionNeck", out_channels=256, map_size=(32, 32)),
    head=dict(type="DetNetHead"),
    test_cfg=dict(flip_test=False),
)
