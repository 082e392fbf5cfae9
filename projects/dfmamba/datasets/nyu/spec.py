"""NYU, registered."""

from dfmamba.datasets.spec import DatasetSpec, Demo, Option

HERE = "dfmamba.datasets.nyu"
SPEC = DatasetSpec(
    name="nyu",
    title="NYU hand pose",
    content="depth and colour of three cameras, joint_data.mat, centers",
    parsers=(f"{HERE}.annotations:parse_nyu",),
    adapters=(f"{HERE}.dataset:NYUDataset",),
    functions=(f"{HERE}.protocol:score_nyu",),
    metric_name=f"{HERE}.metric:NYUMeanError",
    protocol_name=f"{HERE}.protocol:PROTOCOL",
    results_name=f"{HERE}.results:RESULTS",
    pred_formats="u v d of 14 joints a line, or .mat",
    gt_formats="joint_data.mat",
    joints="14 of the file's 36 points, in the order of the published results",
    root="center of the crop; predictions are absolute",
    unit="px, px, mm (u v d), and mm (x y z, y up)",
    crop="220 mm wide and high, 300 mm deep, around the center",
    writer="dfmamba.synthesis.nyu:write_nyu",
    pred_options=(
        Option(
            "coordinates",
            "what the predictions are: u v d in px, px, mm (default), or x y z in mm with y up, or with y down; a .mat "
            "file tells",
            choices=("uvd", "xyz", "xyz-y-down"),
        ),
    ),
    demo=Demo("dfmamba_nyu_demo", 240, 60, "nyu/mean_error_abs_mm", "nyu/constant_pose_at_true_center_mm"),
)
