"""DexYCB, registered."""

from dfmamba.datasets.spec import DatasetSpec, Demo, Option

HERE = "dfmamba.datasets.dexycb"
SPEC = DatasetSpec(
    name="dexycb",
    title="DexYCB",
    content="hands that hold objects; counts by the splits of s0, in multiples of 8",
    parsers=(f"{HERE}.annotations:parse_dexycb",),
    adapters=(f"{HERE}.dataset:DexYCBDataset",),
    functions=(f"{HERE}.protocol:score_dexycb",),
    metric_name=f"{HERE}.metric:DexYCBMPJPE",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="image_id and 63 numbers a line",
    gt_formats="the folder of the data set",
    joints="21; the files: wrist first, each finger from base to tip",
    root="wrist",
    unit="m",
    crop="1.2 times the joints' extent, times 1.25, made square",
    writer="dfmamba.synthesis.dexycb:write_dexycb",
    pred_options=(
        Option(
            "root_relative",
            "the predictions are relative to the wrist; leave the absolute numbers out",
            default=False,
        ),
    ),
    gt_options=(
        Option("setup", "of the folder: set-up (default: s0)", default="s0"),
        Option("split", "of the folder: split (default: test)", default="test"),
    ),
    demo=Demo(
        "dfmamba_dexycb_demo",
        640,
        128,
        "dexycb_true_bone/MPJPE_rr_macro_mm",
        "dexycb_true_bone/constant_pose_rr_macro_mm",
    ),
)
