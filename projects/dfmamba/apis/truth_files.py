"""The truth from the data sets' own annotation files, for the scoring of files.

Read by the parsers of `dfmamba.datasets`, which need no images (RHD's pickles: the masks); they load mmpose where it is
installed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dfmamba.evaluation.scores import JointTable
from dfmamba.skeleton import ONE_HAND, SIDES, TWO_HANDS, hand_slice

if TYPE_CHECKING:
    from dfmamba.datasets.dexycb_recordings import Selection


def read_interhand26m_truth(data_file: str | Path) -> JointTable:
    """Read `<name>_data.json`, with `<name>_camera.json` and `<name>_joint_3d.json` beside it; ids are annotation ids.

    Records without a valid joint are there, too: the official handedness accuracy counts them.

    Raises:
        FileNotFoundError: One of the three files is missing.
        ValueError: A file is faulty, or has another name.
    """
    from dfmamba.datasets.interhand26m_annotations import joints_in_camera, parse_interhand26m

    data_file = Path(data_file)
    if not data_file.name.endswith("_data.json"):
        raise ValueError(f"{data_file}: expected a JSON of ours ('dfmamba joints'), or InterHand2.6M's *_data.json")
    name = data_file.name.removesuffix("_data.json")
    camera_file, joint_file = (data_file.with_name(f"{name}_{part}.json") for part in ("camera", "joint_3d"))
    _require_files(data_file, camera_file, joint_file)
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


def read_rhp_truth(ann_file: str | Path, validity: str = "visible", hand: str = "prominent") -> JointTable:
    """Read `anno_evaluation.pickle` or a COCO-style JSON; ids are annotation ids.

    Args:
        ann_file: The file; of the pickle, the masks lie in `mask` beside it.
        validity: 'visible' or 'annotated', see `parse_rhp`.
        hand: Which of the two hands of each image, see `parse_rhp`; 'prominent' and 'most_pixels' need the masks.

    Raises:
        FileNotFoundError: The file or a mask does not exist.
        ValueError: The file is faulty.
    """
    from dfmamba.datasets.rhp_annotations import parse_rhp

    columns = parse_rhp(ann_file, hand=hand, validity=validity).columns
    count = len(columns["annotation_id"])
    joints, (valid, seen) = (
        np.zeros((count, TWO_HANDS.num_joints, 3)),
        np.zeros((2, count, TWO_HANDS.num_joints), dtype=bool),
    )
    for side in range(len(SIDES)):
        rows = np.flatnonzero(columns["side"] == side)
        joints[rows, hand_slice(side)] = columns["joints_cam_mm"][rows]
        valid[rows, hand_slice(side)] = columns["joint_valid"][rows]
        seen[rows, hand_slice(side)] = columns["joint_seen"][rows]
    return JointTable(
        columns["annotation_id"].tolist(),
        np.where(valid[..., None], joints, 0),
        valid,
        {"hand_type": columns["side"][:, None] == np.arange(len(SIDES)), "all_joints_mm": joints, "seen": seen},
        str(ann_file),
    )


def read_nyu_truth(joint_file: str | Path) -> JointTable:
    """Read `joint_data.mat` as the first camera sees it; ids are frames from 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is faulty.
    """
    from dfmamba.datasets.files import Faults
    from dfmamba.datasets.nyu_annotations import parse_nyu

    columns = parse_nyu(joint_file, None, Faults()).columns
    joints = columns["joints_cam"]
    return JointTable((columns["frame"] + 1).tolist(), joints, _all(joints), source=str(joint_file))


def read_dexycb_truth(
    root: str | Path, setup: str = "s0", split: str = "test", selection: "Selection | None" = None
) -> JointTable:
    """Read a split of DexYCB from its folder; ids are the toolkit's image ids.

    Args:
        root: The folder.
        setup: 's0' to 's3'.
        split: 'train', 'val' or 'test'.
        selection: Another part of the set than that split, for smaller trees.

    Raises:
        FileNotFoundError: A part of the tree is missing.
        ValueError: There is no such set-up or split, or a file is faulty.
    """
    from dfmamba.datasets.dexycb_annotations import parse_dexycb
    from dfmamba.datasets.dexycb_recordings import Selection
    from dfmamba.datasets.dexycb_splits import SERIALS, SUBJECTS, get_split

    part = get_split(setup, split)
    official = Selection(
        tuple(SUBJECTS[number] for number in part.subjects),
        tuple(SERIALS[number] for number in part.cameras),
        part.sequences,
    )
    columns = parse_dexycb(root, selection or official).columns
    joints = columns["joints_cam_mm"].reshape(-1, ONE_HAND.num_joints, 3)
    return JointTable(columns["image_id"].tolist(), joints, _all(joints), source=f"{root} ({setup} {split})")


def read_assemblyhands_truth(data_file: str | Path) -> JointTable:
    """Read `assemblyhands_<split>_ego_data_*.json`, with `..._ego_calib_*` and `..._joint_3d_*` beside it.

    One row for each camera image with a hand that the toolkit evaluates, world frame, with the images' `extrinsic`; ids
    are `<recording>/<frame>/<camera>`.

    Raises:
        FileNotFoundError: One of the three files is missing.
        ValueError: A file is faulty.
    """
    from dfmamba.datasets.assemblyhands_annotations import frame_key, parse_assemblyhands

    data_file = Path(data_file)
    calib_file, joint_file = (
        data_file.with_name(data_file.name.replace("_ego_data_", part)) for part in ("_ego_calib_", "_joint_3d_")
    )
    _require_files(data_file, calib_file, joint_file)
    columns = parse_assemblyhands(data_file, calib_file, joint_file).columns
    images, row_of = np.unique(columns["image"], return_inverse=True)
    valid = np.zeros((len(images), TWO_HANDS.num_joints), dtype=bool)
    for side in range(len(SIDES)):
        rows = np.flatnonzero(columns["side"] == side)
        valid[row_of[rows], hand_slice(side)] = columns["joint_valid"][rows]
    camera = columns["camera"][images]
    names = [name.decode() for name in columns["camera_name"][camera].tolist()]
    ids = [
        f"{recording.decode()}/{frame_key(frame)}/{name}"
        for recording, frame, name in zip(
            columns["sequence_name"][camera].tolist(), columns["frame_idx"][images].tolist(), names, strict=True
        )
    ]
    return JointTable(
        ids,
        columns["world_mm"][columns["frame"][images]].astype(np.float64),
        valid,
        {
            "camera": np.array(names),
            "extrinsic": np.concatenate(
                [columns["rotation"][images], columns["translation_mm"][images][..., None]], axis=2
            ),
        },
        str(data_file),
    )


def _all(joints: NDArray) -> NDArray[np.bool_]:
    return np.ones(joints.shape[:2], dtype=bool)


def _require_files(*paths: Path) -> None:
    """Raise FileNotFoundError unless all annotation files of a split are there."""
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path} (one of the three annotation files of a split)")
