"""The Rendered Hand Pose data set (RHD; RHP in papers) as an mmpose data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.image_points import read_coco_points
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.rhp.annotations import (
    PARSER_VERSION,
    check_choices,
    is_coco,
    parse_rhp,
    right_hand_first,
    wrist_last,
)
from dfmamba.datasets.sample import build_one_of_two
from dfmamba.geometry import xywh_to_xyxy
from dfmamba.io.files import read_pickle
from dfmamba.skeleton import NUM_HAND_JOINTS, TWO_HANDS, hand_slice, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

FOLDERS = {"train": "training", "test": "evaluation"}  # the set has no split for validation


@DATASETS.register_module()
class RHPDataset(HandDataset):
    """RHD: one hand of each image, in the two-hand order (42 joints, right hand first), the other hand not valid.

    Annotations come from the set's own pickles, or from a COCO-style JSON (InterNet's `RHD_training.json` and
    `RHD_evaluation.json`, mmpose's `rhd_train.json`) if `ann_file` ends with `.json`. Both give the same samples where
    they choose the same hand; see `parse_rhp` for the choice, for validity and for boxes. A2J-Transformer and InterNet
    use InterNet's JSON files. Root depth is the true depth of the hand's own wrist.

    Samples also have `all_joints_cam` (21, 3) float32, the chosen hand's joints in camera space in mm whether they are
    seen or not, and `joints_seen` (21,), the file's flags: hand3d's evaluation takes its origin and its unit from
    joints that may be hidden.

    The set has no sessions, persons or cameras: `capture` and `subject` are 0, `camera` is empty, `frame_idx` is the
    number of the image and `seq_name` the folder of the split.

    Args:
        split: 'train' (`training`) or 'test' (`evaluation`).
        data_root: The folder with `training` and `evaluation`.
        ann_file: Annotation file, relative to `data_root`; by default the split's pickle.
        data_prefix: `dict(img=..., mask=...)`, the folders of the images and of the masks, in the same way; by default
            the official ones. Masks are read only for `hand='most_pixels'`, which is also 'prominent' for the pickles.
        hand: 'prominent', 'most_pixels', 'most_visible', 'right' or 'left', see `parse_rhp`.
        validity: 'visible' or 'annotated', see `parse_rhp`. hand3d's `eval_full.py` counts visible joints, its
            `eval3d.py` all, 'annotated'.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_rhp`.
    """

    PUBLISHED_RECORDS: ClassVar[dict[str, int]] = {"train": 41_258, "test": 2_728}  # the official reader
    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(TWO_HANDS, "rhp", joint_colors(TWO_HANDS))
    EXPECTED_LAYOUT: ClassVar[str] = """\
  training/anno_training.pickle            evaluation/anno_evaluation.pickle
  training/color/00000.png                 evaluation/color/00000.png
  training/mask/00000.png                  evaluation/mask/00000.png
  training/depth/00000.png                 evaluation/depth/00000.png (not read)
  RHD_training.json                        RHD_evaluation.json; only for ann_file=<this path>"""

    def __init__(
        self,
        split: str = "train",
        data_root: str = "",
        ann_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        hand: str = "prominent",
        validity: str = "visible",
        **kwargs: Any,
    ) -> None:
        if split not in FOLDERS:
            raise ValueError(f"split: expected one of {tuple(FOLDERS)}, got {split!r}")
        self.split, self.hand, self.validity = split, hand, validity
        folder = FOLDERS[split]
        ann_file = ann_file or f"{folder}/anno_{folder}.pickle"
        check_choices(ann_file, hand, validity)
        self.index: Index
        super().__init__(
            data_root=data_root,
            ann_file=ann_file,
            **kwargs,
            data_prefix={"img": f"{folder}/color", "mask": f"{folder}/mask"} | (data_prefix or {}),
        )

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; see `HandDataset`."""
        ann_file = self.require("ann_file", self.ann_file)
        masks = Path(self.data_prefix["mask"]).absolute()
        sources = [ann_file]
        if self.needs_masks:
            sources.append(
                self.require("data_prefix['mask']", masks, "masks decide on the hand; hand='most_visible' needs none")
            )
        self.index = self.open_index(
            "rhp",
            PARSER_VERSION,
            sources,
            lambda: parse_rhp(ann_file, masks, self.hand, self.validity, RecordErrorPolicy(self.faulty)),
            {"hand": self.hand, "validity": self.validity},
        )
        return np.arange(len(self.index.columns["image_id"])), self.index.skipped

    @property
    def needs_masks(self) -> bool:
        """Whether masks decide on the hand."""
        return not is_coco(self.ann_file) and self.hand in ("prominent", "most_pixels")

    def needed_paths(self) -> dict[str, Path]:
        """See `HandDataset`."""
        masks = {"data_prefix['mask']": Path(self.data_prefix["mask"])} if self.needs_masks else {}
        return {"ann_file": Path(self.ann_file), **masks, **super().needed_paths()}

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`."""
        return super().describe_source() | {"root_depth": "gt", "hand": self.hand, "validity": self.validity}

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """See `HandDataset`: pickles have both hands, JSON files one: InterNet's `joint_img`, mmpose's `keypoints`."""
        points_px, path = super().read_image_points(samples), Path(self.ann_file)
        if not is_coco(path):
            frames = read_pickle(path)
            for number, sample in enumerate(samples):
                points_px[number] = right_hand_first(np.asarray(frames[sample["id"]]["uv_vis"]))[:, :2]
            return points_px
        found = read_coco_points(path, [sample["id"] for sample in samples], ("joint_img", "keypoints"))
        for number, sample in enumerate(samples):
            points = found.get(sample["id"])
            if points is not None and len(points) == NUM_HAND_JOINTS:
                points_px[number, hand_slice(int(np.argmax(sample["hand_type"][0])))] = wrist_last(points)
        return points_px

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        return [name.decode() for name in self.index.columns["file_name"][rows].tolist()]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        column = {name: values[row] for name, values in self.index.columns.items()}
        image_id = int(column["image_id"])
        sample = build_one_of_two(
            int(column["side"]),
            column["joints_cam_mm"],
            column["joint_valid"],
            focal_px=column["focal_px"],
            principal_point_px=column["principal_point_px"],
            bbox_xyxy=xywh_to_xyxy(column["bbox_xywh"]),
            image_size=column["image_size"],
            img_id=image_id,
            id=int(column["annotation_id"]),
            seq_name=FOLDERS[self.split],
            camera="",
            frame_idx=image_id,
        )
        return sample | {
            "all_joints_cam": np.array(column["joints_cam_mm"], dtype=np.float32),
            "joints_seen": column["joint_seen"].astype(np.float32),
        }
