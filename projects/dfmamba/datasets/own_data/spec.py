"""One's own data, registered."""

from dfmamba.datasets.spec import DatasetSpec, Option

HERE = "dfmamba.datasets.own_data"
SPEC = DatasetSpec(
    name="own_data",
    title="Own data",
    content="right, left and interacting hands, in the JSON file of one's own data",
    parsers=(f"{HERE}.annotations:parse_own_data",),
    adapters=(f"{HERE}.dataset:OwnHandsDataset",),
    functions=(f"{HERE}.protocol:score_own_data",),
    metric_name=f"{HERE}.metric:OwnDataMPJPE",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="JSON of ours",
    gt_formats="its JSON file",
    joints="42, one hand or two; the file names its order: ours, MediaPipe's, FreiHAND's, MANO's, RHD's and others",
    root="wrist of the joint's own hand; depths may be unknown",
    unit="mm or m, as the file says, and px",
    crop="the file's box, or 1.2 times the joints' extent, times 1.25, made square",
    writer="dfmamba.synthesis.own_data:write_own_data",
    gt_options=(
        Option(
            "pairs",
            "of the annotation file: which right and left hands of an image are one sample (default: touching)",
            default="touching",
            choices=("touching", "always", "never"),
        ),
    ),
)
