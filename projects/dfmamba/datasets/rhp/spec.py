"""RHD, registered under the paper's name for it, RHP."""

from dfmamba.datasets.spec import DatasetSpec, Demo, Option

HERE = "dfmamba.datasets.rhp"
SPEC = DatasetSpec(
    name="rhp",
    title="RHD v1.1, the Rendered Hand Pose data set",
    content="colour, depth, masks; pickles and COCO-style JSON",
    parsers=(f"{HERE}.annotations:parse_rhp",),
    adapters=(f"{HERE}.dataset:RHPDataset",),
    functions=(f"{HERE}.protocol:score_rhp",),
    metric_name=f"{HERE}.metric:RHPEPE",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="JSON of ours",
    gt_formats="anno_evaluation.pickle, or a COCO-style JSON",
    joints="42, 21 of them valid; the files: left hand first, wrist first, each finger from tip to base",
    root="wrist of the chosen hand",
    unit="m in the pickles, mm in the JSON files",
    crop="the file's box, or 1.2 times the joints' extent, times 1.25, made square",
    writer="dfmamba.synthesis.rhp:write_rhp",
    gt_options=(
        Option(
            "validity",
            "of the set's files: which joints count (default: visible)",
            default="visible",
            choices=("visible", "annotated"),
        ),
        Option(
            "hand",
            "of the set's files: which hand of each image (default: prominent, a JSON file's, or the pickle's with "
            "more pixels in the masks beside it; most_visible needs no masks)",
            default="prominent",
            choices=("prominent", "most_pixels", "most_visible", "right", "left"),
        ),
    ),
    demo=Demo("dfmamba_rhp_demo", 800, 120, "rhp/EPE_rr_macro_mm", "rhp/constant_pose_rr_macro_mm"),
)
