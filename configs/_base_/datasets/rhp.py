# RHP (the Rendered Handpose Dataset, RHD v1.1) in its official layout below `data_root` (see dfmamba/datasets/rhp.py
# for the tree).
#
# A leaf config that changes `data_root`, or the files, sets them in each data loader:
#     data_root = '/data/RHD_published_v2'
#     train_dataloader = dict(dataset=dict(data_root=data_root))          # likewise val_dataloader and test_dataloader
# The published results use InterNet's JSON files, ann_file='RHD_training.json' and ann_file='RHD_evaluation.json',
# which have one hand of each image. From the pickles, which are the default, `hand` chooses: see parse_rhp.
# Crop, augmentation and batch size are InterNet's and A2J-Transformer's. There is no val split: test serves as both.
# `codec` is meant for the head as well:
#     model = dict(head=dict(decoder={{_base_.codec}}))

dataset_type = 'RHPDataset'
data_root = 'data/RHD_published_v2'
input_size = (256, 256)
codec = dict(type='A2JCodec', input_size=input_size)

# All that the pose estimator, the metrics and the pictures read.
meta_keys = ('id', 'img_id', 'img_path', 'dataset_name', 'seq_name', 'capture', 'camera', 'frame_idx', 'subject',
             'ori_shape', 'img_shape', 'input_size', 'input_center', 'input_scale', 'rotation', 'flip',
             'flip_direction', 'flip_indices', 'hand_type', 'hand_type_valid', 'rel_root_depth', 'rel_root_valid',
             'abs_depth', 'root_depth', 'focal', 'principal_pt')

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomHandFlip', prob=0.5),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomBoxJitter', shift=0.15, scale=0.25, rotation_deg=45.0, rotation_prob=0.6),
    dict(type='TopdownAffine', input_size=input_size),
    dict(type='RandomChannelGain', low=0.8, high=1.2),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
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
    dataset=dict(type=dataset_type, split='test', data_root=data_root, test_mode=True, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type=dataset_type, split='test', data_root=data_root, test_mode=True, pipeline=test_pipeline))

val_evaluator = dict(type='RHPEPE')
test_evaluator = dict(type='RHPEPE')
