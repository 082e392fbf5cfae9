"""DetNet's crops and augmentation (Zhou et al. 2020) for any data set with one hand a sample.

It stands in for the pipelines of `_base_/datasets/<set>.py`. A config lists both and then writes:
    model = dict(head=dict(decoder={{_base_.detnet_codec}}))
    train_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.detnet_train_pipeline}}))
    val_dataloader = dict(dataset=dict(pipeline={{_base_.detnet_test_pipeline}}))      # likewise test_dataloader
Data sets: RHPDataset, DexYCBDataset, AssemblyHandsDataset, and InterHand26MHandsDataset for InterHand2.6M.
Left hands are mirrored, as the public PyTorch port does; predictions are mirrored back.

`predict` scales joints by the true length of the bone wrist-middle1. Metrics must say so:
    val_evaluator = [dict(type='DetNetMPJPE'), dict(type='AssemblyHandsMPJPE', prefix='assemblyhands_true_bone')]
and for DexYCB, of which each sample has 21 joints, and whose absolute numbers need a place in space:
    val_evaluator = [dict(type='DetNetMPJPE', num_joints=21),
                     dict(type='DexYCBMPJPE', pred_frame='root_relative', prefix='dexycb_true_bone')]

Differences from the port: it crops twice the joints' extent, here it is 1.75 times the box, which in InterHand2.6M is 1.2
times the extent. It draws the angle evenly from +-90 degrees, here it is normal (45) and clipped there. It changes
brightness, contrast, saturation and hue and blurs a little, here each colour channel gets its own gain.
"""

detnet_input_size = (128, 128)
detnet_codec = dict(type="DetNetCodec", input_size=detnet_input_size, map_size=(32, 32))

# All that the estimator, the metrics and the pictures read.
detnet_meta_keys = (
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
    "flip_indices",
    "hand_type",
    "hand_type_valid",
    "abs_depth",
    "root_depth",
    "focal",
    "principal_pt",
    "extrinsic",
    "one_of_two_hands",
    "mirrored",
    "bone_length",
    "view_rotation",
)

detnet_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ToSingleHand"),
    dict(type="MirrorLeftHand"),
    dict(type="GetBBoxCenterScale", padding=1.75),
    dict(type="RandomHandBBoxTransform", shift=0.1, scale=0.1, rotation_deg=45.0, rotation_prob=1.0),
    dict(type="TopdownAffine", input_size=detnet_input_size),
    dict(type="RotateKeypoints3D"),
    dict(type="RandomColorScale", low=0.6, high=1.4),
    dict(type="GenerateTarget", encoder=detnet_codec),
    dict(type="PackPoseInputs", meta_keys=("id", "img_id", "img_path")),  # few: they travel between processes
]
detnet_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ToSingleHand"),
    dict(type="MirrorLeftHand"),
    dict(type="AddBoneLength"),
    dict(type="GetBBoxCenterScale", padding=1.75),
    dict(type="TopdownAffine", input_size=detnet_input_size),
    dict(type="PackPoseInputs", meta_keys=detnet_meta_keys),
]
