"""What annotation files say a second time: joints in the image beside joints in space, and the sizes of images.

The adapters do not read it, for it follows from the rest. So it is a witness of its own for `dfmamba.apis.data_check`:
where both disagree, the camera, the frame or the order of the joints is another one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dfmamba.datasets.assemblyhands import AssemblyHandsDataset
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.dexycb import DexYCBDataset
from dfmamba.datasets.dexycb_annotations import tip_first_wrist_last
from dfmamba.datasets.files import read_mat, read_npz, read_pickle
from dfmamba.datasets.interhand26m import InterHand26MDataset
from dfmamba.datasets.json_records import read_json_as
from dfmamba.datasets.nyu import NYUDataset
from dfmamba.datasets.nyu_annotations import IMAGE_SIZE, y_up_to_y_down
from dfmamba.datasets.rhp import RHPDataset
from dfmamba.datasets.rhp_annotations import is_coco, right_hand_first, wrist_last
from dfmamba.geometry import camera_to_nyu_uvd
from dfmamba.skeleton import NUM_HAND_JOINTS, NYU_14_OF_36, hand_slice

RHD_IMAGE_SIZE = (320, 320)
DEXYCB_IMAGE_SIZE = (640, 480)


class FileFacts(NamedTuple):
    """Of n samples.

    Attributes:
        points_px: (n, K, 2), NaN where the files have none.
        image_sizes: (n, 2) width and height in px, 0 where neither the files nor the format say it.
    """

    points_px: NDArray[np.float64]
    image_sizes: NDArray[np.int64]


class _Image(msgspec.Struct):
    id: int
    width: int = 0
    height: int = 0


class _Annotation(msgspec.Struct):
    id: int
    keypoints: msgspec.Raw = msgspec.Raw(b"null")
    joint_img: msgspec.Raw = msgspec.Raw(b"null")
    hand_type: str = ""


class _Images(msgspec.Struct):
    images: list[_Image]


class _Coco(_Images):
    annotations: list[_Annotation]


def read_file_facts(dataset: HandDataset, samples: Sequence[Mapping[str, Any]]) -> FileFacts:
    """Read what the files of a data set say about some of its samples.

    Raises:
        ValueError: A file is damaged.
    """
    num_joints = samples[0]["keypoints"].shape[1]
    facts = FileFacts(np.full((len(samples), num_joints, 2), np.nan), np.zeros((len(samples), 2), dtype=np.int64))
    for kind, read in READERS.items():
        if isinstance(dataset, kind):
            read(dataset, samples, facts)
    return facts


def _read_interhand26m(dataset: Any, samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """The file has sizes; its boxes are the second witness of the joints."""
    _fill_sizes(read_json_as(Path(dataset.ann_file), _Images).images, samples, facts)


def _read_assemblyhands(dataset: Any, samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """`keypoints` are 42 times u, v, confidence; not every copy has them."""
    content = read_json_as(Path(dataset.ann_file), _Coco)
    _fill_sizes(content.images, samples, facts)
    wanted = {annotation.id: annotation.keypoints for annotation in content.annotations}
    for number, sample in enumerate(samples):
        points = _as_points(wanted.get(sample["id"]))
        if points is not None and len(points) == facts.points_px.shape[1]:
            facts.points_px[number] = points


def _read_rhp(dataset: Any, samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """The pickles have u, v of both hands; InterNet's JSON has `joint_img`, mmpose's `keypoints`, of one hand."""
    facts.image_sizes[:] = RHD_IMAGE_SIZE
    path = Path(dataset.ann_file)
    if not is_coco(path):
        frames = read_pickle(path)
        for number, sample in enumerate(samples):
            facts.points_px[number] = right_hand_first(np.asarray(frames[sample["id"]]["uv_vis"]))[:, :2]
        return
    content = read_json_as(path, _Coco)
    _fill_sizes(content.images, samples, facts)
    wanted = {annotation.id: annotation for annotation in content.annotations}
    for number, sample in enumerate(samples):
        annotation = wanted[sample["id"]]
        points = _as_points(annotation.joint_img)
        points = _as_points(annotation.keypoints) if points is None else points
        if points is not None and len(points) == NUM_HAND_JOINTS:
            side = int(np.argmax(sample["hand_type"][0]))
            facts.points_px[number, hand_slice(side)] = wrist_last(points)


def _read_nyu(dataset: Any, samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """The file has the joints twice, in px and depth and in mm; the one that is not used is the witness."""
    facts.image_sizes[:] = IMAGE_SIZE
    other = "joint_xyz" if dataset.truth == "joint_uvd" else "joint_uvd"
    joints = read_mat(Path(dataset.ann_file), [other])[other][dataset.camera - 1]
    for number, sample in enumerate(samples):
        points = joints[sample["frame_idx"] - 1][list(NYU_14_OF_36)]
        facts.points_px[number] = (camera_to_nyu_uvd(y_up_to_y_down(points)) if other == "joint_xyz" else points)[:, :2]


def _read_dexycb(dataset: Any, samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """The label files have `joint_2d`."""
    facts.image_sizes[:] = DEXYCB_IMAGE_SIZE
    for number, sample in enumerate(samples):
        labels = Path(sample["img_path"]).parent / f"labels_{sample['frame_idx']:06d}.npz"
        facts.points_px[number] = tip_first_wrist_last(read_npz(labels, ["joint_2d"])["joint_2d"][0])


READERS: dict[type[HandDataset], Callable[[Any, Sequence[Mapping[str, Any]], FileFacts], None]] = {
    InterHand26MDataset: _read_interhand26m,
    AssemblyHandsDataset: _read_assemblyhands,
    RHPDataset: _read_rhp,
    NYUDataset: _read_nyu,
    DexYCBDataset: _read_dexycb,
}


def _fill_sizes(images: Sequence[_Image], samples: Sequence[Mapping[str, Any]], facts: FileFacts) -> None:
    """Enter the sizes of the samples' images."""
    sizes = {image.id: (image.width, image.height) for image in images}
    for number, sample in enumerate(samples):
        facts.image_sizes[number] = sizes.get(sample["img_id"], (0, 0))


def _as_points(text: msgspec.Raw | None) -> NDArray[np.float64] | None:
    """Return u, v of nested lists [[u, v, ...], ...] in JSON; None where there is no such thing."""
    values = msgspec.json.decode(text) if text is not None else None
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return points[:, :2] if points.ndim == 2 and points.shape[1] >= 2 else None
