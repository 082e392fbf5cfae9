"""The ego views of AssemblyHands as an mmpose data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.assemblyhands.annotations import (
    PARSER_VERSION,
    joints_in_camera,
    large_enough,
    parse_assemblyhands,
)
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.image_points import read_coco_points
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.sample import build_one_of_two
from dfmamba.skeleton import TWO_HANDS, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SPLITS = ("train", "val", "test")


@DATASETS.register_module()
class AssemblyHandsDataset(HandDataset):
    """AssemblyHands ego: one sample for each hand that has a box, in the two-hand order, the other hand not valid.

    Images are grey, from four cameras of a headset that moves: each image has extrinsics of its own. `bbox` is the
    file's box, at least 100 / 1.75 px wide and high; with `GetBBoxCenterScale(padding=1.75)` and `TopdownAffine` the
    crop is the toolkit's, which also rounds it to whole pixels. Root depth is the true depth of the hand's own wrist.

    The coordinates of the test split have never been published; as long as its files hold [1, 1, 1], all of its hands
    are left out, and there is no sample. Public results are those of the val split.

    Samples also have `extrinsic` (3, 4) float32, [R | t] from the world to the camera in mm, with which result files
    in world coordinates are written. `id` is that of the annotation, which both hands of an image share; `hand_type`
    tells them apart. `capture` and `subject` are 0: the files do not name them.

    Args:
        split: 'train', 'val' or 'test'.
        data_root: The folder with `annotations` and `images`.
        ann_file: `..._ego_data_v1-1.json`, relative to `data_root`.
        calib_file: `..._ego_calib_v1-1.json`, in the same way.
        joint_file: `..._joint_3d_v1-1.json`, in the same way.
        invalid_file: `invalid_<split>_ego.txt`, in the same way, to leave out the hands that it names; none by default,
            for the toolkit makes it by rules that hold here anyway.
        data_prefix: `dict(img=...)`, the folder of the images, in the same way.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_assemblyhands`.
    """

    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(TWO_HANDS, "assemblyhands", joint_colors(TWO_HANDS))
    EXPECTED_LAYOUT: ClassVar[str] = """\
  annotations/{split}/assemblyhands_{split}_ego_data_v1-1.json    {split} = train, val or test
  annotations/{split}/assemblyhands_{split}_ego_calib_v1-1.json
  annotations/{split}/assemblyhands_{split}_joint_3d_v1-1.json
  annotations/{split}/invalid_{split}_ego.txt                     only for invalid_file=<this path>
  images/ego_images_rectified/{split}/<sequence>/<camera>_mono10bit/<frame, six digits>.jpg"""

    def __init__(
        self,
        split: str = "train",
        data_root: str = "",
        ann_file: str | None = None,
        calib_file: str | None = None,
        joint_file: str | None = None,
        invalid_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        self.split = split
        default = f"annotations/{split}/assemblyhands_{split}_"
        self.calib_file = str(Path(data_root) / (calib_file or default + "ego_calib_v1-1.json"))
        self.joint_file = str(Path(data_root) / (joint_file or default + "joint_3d_v1-1.json"))
        self.invalid_file = invalid_file
        self.index: Index
        super().__init__(
            data_root=data_root,
            ann_file=ann_file or default + "ego_data_v1-1.json",
            data_prefix=data_prefix or {"img": "images"},
            **kwargs,
        )

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; see `HandDataset`."""
        sources = (
            self.require("ann_file", self.ann_file),
            self.require("calib_file", self.calib_file),
            self.require("joint_file", self.joint_file),
        )
        invalid = None
        if self.invalid_file is not None:
            invalid = self.require("invalid_file", Path(self.data_root) / self.invalid_file)
        self.index = self.open_index(
            "assemblyhands",
            PARSER_VERSION,
            [*sources, *([invalid] if invalid else [])],
            lambda: parse_assemblyhands(*sources, invalid, RecordErrorPolicy(self.faulty)),
            {"invalid_file": bool(invalid)},
        )
        return np.arange(len(self.index.columns["annotation_id"])), dict(self.index.skipped)

    def needed_paths(self) -> dict[str, Path]:
        """See `HandDataset`."""
        paths = {
            "ann_file": Path(self.ann_file),
            "calib_file": Path(self.calib_file),
            "joint_file": Path(self.joint_file),
        }
        if self.invalid_file is not None:
            paths["invalid_file"] = Path(self.data_root) / self.invalid_file
        return paths | super().needed_paths()

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`."""
        return super().describe_source() | {"root_depth": "gt", "invalid_file": self.invalid_file}

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """See `HandDataset`: `keypoints` are 42 times u, v, confidence; not every copy has them."""
        points_px = super().read_image_points(samples)
        found = read_coco_points(Path(self.ann_file), [sample["id"] for sample in samples], ("keypoints",))
        for number, sample in enumerate(samples):
            points = found.get(sample["id"])
            if points is not None and len(points) == points_px.shape[1]:
                points_px[number] = points
        return points_px

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        table = self.index.columns
        return [name.decode() for name in table["file_name"][table["image"][rows]].tolist()]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        table = self.index.columns
        image = table["image"][row]
        camera = table["camera"][image]
        sample = build_one_of_two(
            int(table["side"][row]),
            joints_in_camera(table, row),
            table["joint_valid"][row],
            focal_px=table["focal_px"][camera],
            principal_point_px=table["principal_point_px"][camera],
            bbox_xyxy=large_enough(table["bbox_xyxy"][row]),
            image_size=table["image_size"][image],
            img_id=int(table["image_id"][image]),
            id=int(table["annotation_id"][row]),
            seq_name=table["sequence_name"][camera].decode(),
            camera=table["camera_name"][camera].decode(),
            frame_idx=int(table["frame_idx"][image]),
        )
        extrinsic = np.column_stack([table["rotation"][image], table["translation_mm"][image]])
        return sample | {"extrinsic": extrinsic.astype(np.float32)}
