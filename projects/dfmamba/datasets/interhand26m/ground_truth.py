"""InterHand2.6M's annotation files as ground truth for the scoring of files."""

from pathlib import Path

import numpy as np

from dfmamba.datasets.interhand26m.annotations import joints_in_camera, parse_interhand26m
from dfmamba.evaluation.protocol import JointTable
from dfmamba.io.record_errors import require_parts


def read_interhand26m_gt(data_file: str | Path) -> JointTable:
    """Read `<name>_data.json`, with `<name>_camera.json` and `<name>_joint_3d.json` beside it; ids are annotation ids.

    Records without a valid joint are there, too: the official handedness accuracy counts them.

    Raises:
        FileNotFoundError: One of the three files is missing.
        ValueError: A file is faulty, or has another name.
    """
    data_file = Path(data_file)
    if not data_file.name.endswith("_data.json"):
        raise ValueError(f"{data_file}: expected a JSON of ours ('dfmamba joints'), or InterHand2.6M's *_data.json")
    name = data_file.name.removesuffix("_data.json")
    camera_file, joint_file = (data_file.with_name(f"{name}_{part}.json") for part in ("camera", "joint_3d"))
    require_parts(data_file, camera_file, joint_file)
    parsed = parse_interhand26m(data_file, camera_file, joint_file, keep_unannotated=True)
    columns = parsed.columns
    valid = columns["joint_valid"].astype(bool)
    return JointTable(
        columns["annotation_id"].tolist(),
        np.where(valid[..., None], joints_in_camera(columns, slice(None)), 0),
        valid,
        {name: columns[name] for name in ("hand_type", "hand_type_valid")},
        str(data_file),
        has_every_record=not any(parsed.skipped.values()),
    )
