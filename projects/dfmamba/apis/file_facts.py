"""What annotation files say a second time: joints in the image beside joints in space.

The adapters do not read it, for it follows from the rest. So it is a witness of its own for `dfmamba.apis.data_check`:
where both disagree, the camera, the frame or the order of the joints is another one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.assemblyhands import AssemblyHandsDataset
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.dexycb import DexYCBDataset
from dfmamba.datasets.dexycb_annotations import tip_first_wrist_last
from dfmamba.datasets.files import read_mat, read_npz, read_pickle
from dfmamba.datasets.json_records import read_json_as
from dfmamba.datasets.nyu import NYUDataset
from dfmamba.datasets.rhp import RHPDataset
from dfmamba.datasets.rhp_annotations import is_coco, right_hand_first, wrist_last
from dfmamba.geometry import camera_to_nyu_uvd, flip_y
from dfmamba.skeleton import NUM_HAND_JOINTS, NYU_14_OF_36, hand_slice


class _Annotation(msgspec.Struct):
    id: int
    keypoints: msgspec.Raw = msgspec.Raw(b"null")
    joint_img: msgspec.Raw = msgspec.Raw(b"null")


class _Coco(msgspec.Struct):
    annotations: list[_Annotation]


def read_points(dataset: HandDataset, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Read where the files of a data set say that the joints of some of its samples are in the image.

    InterHand2.6M's files do not say it: its boxes are the second witness.

    Returns:
        (n, K, 2) px, NaN where the files have none.

    Raises:
        ValueError: A file is damaged.
    """
    points_px = np.full((len(samples), samples[0]["keypoints"].shape[1], 2), np.nan)
    for kind, read in READERS.items():
        if isinstance(dataset, kind):
            read(dataset, samples, points_px)
    return points_px


def _read_assemblyhands(dataset: Any, samples: Sequence[Mapping[str, Any]], points_px: NDArray[np.float64]) -> None:
    """`keypoints` are 42 times u, v, confidence; not every copy has them."""
    content = read_json_as(Path(dataset.ann_file), _Coco)
    wanted = {annotation.id: annotation.keypoints for annotation in content.annotations}
    for number, sample in enumerate(samples):
        points = _as_points(wanted.get(sample["id"]))
        if points is not None and len(points) == points_px.shape[1]:
            points_px[number] = points


def _read_rhp(dataset: Any, samples: Sequence[Mapping[str, Any]], points_px: NDArray[np.float64]) -> None:
    """The pickles have u, v of both hands; InterNet's JSON has `joint_img`, mmpose's `keypoints`, of one hand."""
    path = Path(dataset.ann_file)
    if not is_coco(path):
        frames = read_pickle(path)
        for number, sample in enumerate(samples):
            points_px[number] = right_hand_first(np.asarray(frames[sample["id"]]["uv_vis"]))[:, :2]
        return
    wanted = {annotation.id: annotation for annotation in read_json_as(path, _Coco).annotations}
    for number, sample in enumerate(samples):
        annotation = wanted[sample["id"]]
        points = _as_points(annotation.joint_img)
        points = _as_points(annotation.keypoints) if points is None else points
        if points is not None and len(points) == NUM_HAND_JOINTS:
            side = int(np.argmax(sample["hand_type"][0]))
            points_px[number, hand_slice(side)] = wrist_last(points)


def _read_nyu(dataset: Any, samples: Sequence[Mapping[str, Any]], points_px: NDArray[np.float64]) -> None:
    """The file has the joints twice, in px and depth and in mm; the one that is not used is the witness."""
    other = "joint_xyz" if dataset.truth == "joint_uvd" else "joint_uvd"
    joints = read_mat(Path(dataset.ann_file), [other])[other][dataset.camera - 1]
    for number, sample in enumerate(samples):
        points = joints[sample["frame_idx"] - 1][list(NYU_14_OF_36)]
        points_px[number] = (camera_to_nyu_uvd(flip_y(points)) if other == "joint_xyz" else points)[:, :2]


def _read_dexycb(dataset: Any, samples: Sequence[Mapping[str, Any]], points_px: NDArray[np.float64]) -> None:
    """The label files have `joint_2d`."""
    for number, sample in enumerate(samples):
        labels = Path(sample["img_path"]).parent / f"labels_{sample['frame_idx']:06d}.npz"
        points_px[number] = tip_first_wrist_last(read_npz(labels, ["joint_2d"])["joint_2d"][0])


READERS: dict[type[HandDataset], Callable[[Any, Sequence[Mapping[str, Any]], NDArray[np.float64]], None]] = {
    AssemblyHandsDataset: _read_assemblyhands,
    RHPDataset: _read_rhp,
    NYUDataset: _read_nyu,
    DexYCBDataset: _read_dexycb,
}


def _as_points(text: msgspec.Raw | None) -> NDArray[np.float64] | None:
    """Return u, v of nested lists [[u, v, ...], ...] in JSON; None where there is no such thing."""
    values = msgspec.json.decode(text) if text is not None else None
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return points[:, :2] if points.ndim == 2 and points.shape[1] >= 2 else None
