# What the data sets share: the keys that travel with a sample, the settings of the loaders, and what mmpose's
# inferencers read.

data_mode = "topdown"  # one box a sample
hand3d = True  # MMPoseInferencer(pose3d=Config.fromfile(...)) takes Hand3DInferencer where it finds this key

# All that the pose estimator, the metrics and the pictures read, of any data set; a sample has what its set knows.
meta_keys = (
    "id",
    "img_id",
    "img_path",
    "dataset_name",
    "seq_name",
    "capture",
    "camera",
    "frame_idx",
    "subject",
    "ori_shape",
    "img_shape",
    "input_size",
    "input_center",
    "input_scale",
    "rotation",
    "flip",
    "flip_direction",
    "flip_indices",
    "hand_type",
    "hand_type_valid",
    "rel_root_depth",
    "rel_root_valid",
    "abs_depth",
    "root_depth",
    "focal",
    "principal_pt",
    "extrinsic",
    "all_joints_cam",
    "joints_seen",
    "depth_known",
    "space_known",
)

train_dataloader = dict(
    batch_size=12, num_workers=4, persistent_workers=True, sampler=dict(type="DefaultSampler", shuffle=True)
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(test_mode=True),
)
test_dataloader = val_dataloader
