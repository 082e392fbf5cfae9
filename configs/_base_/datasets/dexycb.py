# DexYCB, set-up s0, in its official layout below `data_root` (see dfmamba/datasets/dexycb.py for the tree).
#
# A leaf config that changes `data_root`, or the set-up, sets them in each data loader:
#     data_root = '/data/DexYCB'
#     train_dataloader = dict(dataset=dict(data_root=data_root, setup='s1'))  # likewise val_dataloader, test_dataloader
# The toolkit gives no crop: the box is 1.2 times the tight box of `joint_2d`, enlarged by 1.25 as for InterHand2.6M.
# Augmentation and batch size are InterNet's and A2J-Transformer's; the paper uses DetNet here. Right and left hands
# have the same 21 joints. Joints are lifted with the true depth of the wrist, so the absolute errors know it.
# `codec` is meant for the head as well:
#     model = dict(head=dict(num_joints=21, decoder={{_base_.codec}}))

dataset_type = 'DexYCBDataset'
data_root = 'data/DexYCB'
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
    dataset=dict(type=dataset_type, setup='s0', split='train', data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type=dataset_type, setup='s0', split='val', data_root=data_root, test_mode=True,
                 pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type=dataset_type, setup='s0', split='test', data_root=data_root, test_mode=True,
                 pipeline=test_pipeline))

val_evaluator = dict(type='DexYCBMPJPE')
test_evaluator = dict(type='DexYCBMPJPE')
