# NYU (Tompson et al. 2014) in its official layout below `data_root` (see dfmamba/datasets/nyu/dataset.py for the tree).
#
# A config that changes `data_root`, or the centers, sets them in each data loader:
#     data_root = '/data/nyu_hand_dataset_v2/dataset'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# `centers`: A2J's files, which the published results use; 'joints' takes the mean of the true joints instead.
# Crop, augmentation and batch size are A2J's and A2J-Transformer's. NYU has no val split: test serves as both.
#
# The input has one channel, already normalised (A2J-Transformer repeats it three times, which adds weights but no
# information), z is 1 mm a bin, and the range is the cube's +-150 mm times the largest scale of the augmentation:
#     model = dict(
#         data_preprocessor=dict(mean=[0], std=[1], bgr_to_rgb=False),
#         backbone=dict(in_channels=1),
#         head=dict(num_joints=14, input_size=(176, 176), depth_bins=450, anchor_depths=(150.0, 225.0, 300.0),
#                   decoder={{_base_.codec}}))

_base_ = ["../data_loading.py"]

dataset_type = "NYUDataset"
data_root = "data/nyu_hand_dataset_v2/dataset"
input_size = (176, 176)
codec = dict(type="A2JCodec", input_size=input_size, depth_bins=450, depth_range_mm=450.0)

train_pipeline = [
    dict(type="LoadNYUDepth"),
    dict(type="RandomDepthBoxJitter", pixels=5),
    dict(type="RandomRotateScale3D", rotation_deg=180, scale=(0.5, 1.5)),
    dict(type="CropDepthCube", input_size=input_size, half_depth_mm=150.0),
    dict(type="RandomDepthErasing", prob=0.5, area=(0.02, 0.4), aspect=0.3),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]
test_pipeline = [
    dict(type="LoadNYUDepth"),
    dict(type="CropDepthCube", input_size=input_size, half_depth_mm=150.0),
    dict(type="PackPoseInputs", meta_keys={{_base_.meta_keys}}),
]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type=dataset_type, split="train", data_root=data_root, centers="nyu_center_train.mat", pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, split="test", data_root=data_root, centers="nyu_center_test.mat", pipeline=test_pipeline
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type, split="test", data_root=data_root, centers="nyu_center_test.mat", pipeline=test_pipeline
    )
)

val_evaluator = dict(type="NYUMeanError")
test_evaluator = dict(type="NYUMeanError")
