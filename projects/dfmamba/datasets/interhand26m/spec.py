"""InterHand2.6M, registered."""

from dfmamba.datasets.spec import DatasetSpec, Demo

HERE = "dfmamba.datasets.interhand26m"
SPEC = DatasetSpec(
    name="interhand26m",
    title="InterHand2.6M v1.0",
    content="right, left and interacting hands",
    parsers=(f"{HERE}.annotations:parse_interhand26m", f"{HERE}.rootnet:parse_rootnet"),
    adapters=(f"{HERE}.dataset:InterHand26MDataset", f"{HERE}.hands:InterHand26MHandsDataset"),
    functions=(
        f"{HERE}.protocol:score_interhand26m",
        f"{HERE}.protocol:lift_wrists",
        f"{HERE}.protocol:relative_root_error",
    ),
    metric_name=f"{HERE}.metric:InterHandMPJPE",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="JSON of ours",
    gt_formats="*_data.json, with the other two beside it",
    joints="42, as in the files: right hand first, each finger from tip to base, wrist last",
    root="wrist of the joint's own hand",
    unit="mm",
    crop="the file's box (1.2 times the joints' extent) times 1.25, made square",
    writer="dfmamba.synthesis.interhand26m:write_interhand26m",
    demo=Demo(
        "dfmamba_interhand_demo", 2400, 200, "interhand/MPJPE_rr_macro_all_mm", "interhand/constant_pose_macro_all_mm"
    ),
)
