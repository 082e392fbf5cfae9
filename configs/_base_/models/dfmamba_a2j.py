"""DF-Mamba under the A2J-Transformer head: 42 joints of two hands from a 256x256 RGB crop.

The head's codec is the data set's: a config adds `model = dict(head=dict(decoder={{_base_.codec}}))`.
"""

model = dict(
    type="HandPoseEstimator",
    # A2J-Transformer takes RGB / 255, without ImageNet's mean and deviation.
    data_preprocessor=dict(
        type="PoseDataPreprocessor", mean=[0, 0, 0], std=[255, 255, 255], bgr_to_rgb=True, non_blocking=True
    ),
    backbone=dict(type="DFMamba", arch="tiny"),
    head=dict(type="A2JHead", num_joints=42, input_size=(256, 256)),
    test_cfg=dict(flip_test=False),
)
