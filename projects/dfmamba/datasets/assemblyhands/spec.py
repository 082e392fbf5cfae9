"""AssemblyHands, registered."""

from dfmamba.datasets.spec import DatasetSpec, Demo

HERE = "dfmamba.datasets.assemblyhands"
SPEC = DatasetSpec(
    name="assemblyhands",
    title="AssemblyHands v1.1",
    content="ego views: hands that hold toys; test has no ground truth",
    parsers=(f"{HERE}.annotations:parse_assemblyhands",),
    adapters=(f"{HERE}.dataset:AssemblyHandsDataset",),
    functions=(f"{HERE}.protocol:score_assemblyhands",),
    metric_name=f"{HERE}.metric:AssemblyHandsMPJPE",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="JSON of frames, or HANDS 2024's",
    gt_formats="*_joint_3d_*.json (by frame), or *_ego_data_*.json with the other two beside it (by camera image, "
    "as the toolkit counts)",
    joints="42, 21 of them valid, as in the files: right hand first, each finger from tip to base, wrist last",
    root="wrist of the joint's own hand",
    unit="mm, in the world",
    crop="the file's box times 1.75, made square",
    writer="dfmamba.synthesis.assemblyhands:write_assemblyhands",
    demo=Demo(
        "dfmamba_assemblyhands_demo",
        1200,
        80,
        "assemblyhands_true_bone/MPJPE_rr_macro_mm",
        "assemblyhands_true_bone/constant_pose_rr_macro_mm",
        test_split="val",
    ),
)
