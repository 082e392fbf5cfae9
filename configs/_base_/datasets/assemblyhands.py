# The ego views of AssemblyHands (v1.1) in their official layout below `data_root` (see dfmamba/datasets/assemblyhands.py
# for the tree).
#
# A leaf config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = '/data/assemblyhands'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# Crop (1.75 times the box) and the lack of any augmentation are the toolkit's; batch size is A2J-Transformer's. The truth
# of the test split was never published: val serves as both. `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

dataset_type = 'AssemblyHandsDataset'
data_root = 'data/assemblyhands'
input_size = (256, 256)
codec = dict(type='A2JCodec', input_size=input_size)

# All that the pose estimator, the metrics and the pictures read; `extrinsic` is for the result file.
meta_keys = ('id', 'img_id', 'img_path', 'dataset_name', 'seq_name', 'capture', 'camera', 'frame_idx', 'subject',
             'ori_shape', 'img_shape', 'input_size', 'input_center', 'input_scale', 'rotation', 'flip',
             'flip_direction', 'flip_indices', 'hand_type', 'hand_type_valid', 'rel_root_depth', 'rel_root_valid',
             'abs_depth', 'root_depth', 'focal', 'principal_pt', 'extrinsic')

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.75),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.75),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='PackPoseInputs', meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type=dataset_type, split='train', data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type=dataset_type, split='val', data_root=data_root, test_mode=True, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type=dataset_type, split='val', data_root=data_root, test_mode=True, pipeline=test_pipeline))

val_evaluator = dict(type='AssemblyHandsMPJPE')
test_evaluator = dict(type='AssemblyHandsMPJPE')
