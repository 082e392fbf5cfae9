"""InterHand2.6M v1.0 as an mmpose data set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.files import check_boxes, fault, get_array, get_integer, read_json
from dfmamba.datasets.interhand26m_annotations import HAND_TYPES, InterHandAnnotations, parse_interhand26m
from dfmamba.geometry import project, xywh_to_xyxy
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SPLITS = ("train", "val", "test")
ROOTNET_ENLARGEMENT = 1.25  # RootNet's boxes come after InterNet's crop rule: already square, already enlarged by this


@DATASETS.register_module()
class InterHand26MDataset(HandDataset):
    """InterHand2.6M: one sample for every annotation (one or two hands, 42 joints, right hand first).

    The four paths have the defaults of the official layout for `split`, so that `data_root` and `split` are enough. An
    image is read from `data_prefix['img']` and the annotation's `file_name`.

    Boxes: `bbox` is the box of the file, as InterNet's crop expects it (`GetBBoxCenterScale(padding=1.25)`, then
    `TopdownAffine`). The boxes of a RootNet file are square and already enlarged by 1.25; they are shrunk by 1.25 here,
    so that the same pipeline crops exactly the region that RootNet's file names.

    Args:
        split: 'train', 'val' or 'test'.
        data_root: The folder with `annotations` and `images`.
        ann_file: `..._data.json`, relative to `data_root`.
        camera_file: `..._camera.json`, likewise.
        joint_file: `..._joint_3d.json`, likewise.
        data_prefix: `dict(img=...)`, the folder of the images, likewise.
        root_depth: 'gt' (`abs_depth` is the true depth of the wrists), or a RootNet result file relative to `data_root`
            (`abs_depth` and `bbox` come from it; records that it lacks are skipped and counted).
        hand_types: Only samples of these types.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_interhand26m`.
    """

    METAINFO: ClassVar[dict] = mmpose_metainfo(TWO_HANDS, "interhand26m", joint_colors(TWO_HANDS))
    TREE: ClassVar[str] = """\
  annotations/{split}/InterHand2.6M_{split}_data.json           {split} = train, val or test
  annotations/{split}/InterHand2.6M_{split}_camera.json
  annotations/{split}/InterHand2.6M_{split}_joint_3d.json
  images/{split}/Capture0/<sequence>/cam<camera>/image<frame>.jpg
  rootnet_output/rootnet_interhand2.6m_output_{split}.json      only for root_depth=<this path>"""

    def __init__(
        self,
        split: str = "train",
        data_root: str = "",
        ann_file: str | None = None,
        camera_file: str | None = None,
        joint_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        root_depth: str = "gt",
        hand_types: Sequence[str] = tuple(HAND_TYPES),
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        if not hand_types or isinstance(hand_types, str) or not set(hand_types) <= set(HAND_TYPES):
            raise ValueError(f"hand_types: expected a list of some of {list(HAND_TYPES)}, got {hand_types!r}")
        self.hand_types = tuple(hand_types)
        self.root_depth = root_depth
        default = f"annotations/{split}/InterHand2.6M_{split}_"
        self.camera_file = str(Path(data_root) / (camera_file or default + "camera.json"))
        self.joint_file = str(Path(data_root) / (joint_file or default + "joint_3d.json"))
        self.annotations: InterHandAnnotations
        self.rootnet_depth_mm: NDArray[np.float32] | None = None  # (N, 2), [right, left]
        super().__init__(data_root=data_root, ann_file=ann_file or default + "data.json",
                         data_prefix=data_prefix or {"img": f"images/{split}"}, **kwargs)

    def load_annotations(self) -> tuple[int, dict[str, int]]:
        """Read the files; see `HandDataset`."""
        self.annotations = parse_interhand26m(self.require("ann_file", self.ann_file),
                                              self.require("camera_file", self.camera_file),
                                              self.require("joint_file", self.joint_file))
        wanted = np.array([HAND_TYPES[name] for name in self.hand_types])
        selected = (self.annotations.hand_type[:, None] == wanted).all(axis=2).any(axis=1)
        self.annotations = self.annotations.keep(selected, "hand type not selected")
        if self.root_depth != "gt":
            self._use_rootnet(self.require("root_depth", Path(self.data_root) / self.root_depth))
        return len(self.annotations), dict(self.annotations.skipped)

    def _use_rootnet(self, path: Path) -> None:
        """Take boxes and root depths from a RootNet file."""
        results = read_json(path)
        if not isinstance(results, list):
            raise fault(path, "-", "a list of results", f"a {type(results).__name__}")
        row_of_id = {get_integer(path, f"(number {number})", result, "annot_id"): number
                     for number, result in enumerate(results)}
        found = np.isin(self.annotations.annotation_id, list(row_of_id))
        self.annotations = self.annotations.keep(found, "not in the RootNet file")
        used = [results[row_of_id[number]] for number in self.annotations.annotation_id]
        boxes = np.array([get_array(path, result["annot_id"], result, "bbox", (4,)) for result in used])
        depths = np.array([get_array(path, result["annot_id"], result, "abs_depth", (2,)) for result in used])
        boxes, depths = boxes.reshape(-1, 4), depths.reshape(-1, 2)
        check_boxes(path, self.annotations.annotation_id, boxes)
        centre, size = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] / ROOTNET_ENLARGEMENT
        boxes = np.concatenate([centre - size / 2, size], axis=1).astype(np.float32)
        self.annotations = replace(self.annotations, bbox_xywh=boxes)
        self.rootnet_depth_mm = depths.astype(np.float32)

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`; `digest` changes with any entry of the used annotations, before `indices`."""
        return super().describe_source() | {"root_depth": self.root_depth, "hand_types": list(self.hand_types),
                                            "digest": self.annotations.digest()}

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        table = self.annotations
        camera, valid = table.camera[row], table.joint_valid[row]
        focal, principal_point = table.focal_px[camera], table.principal_point_px[camera]
        joints_cam = np.where(valid[:, None], table.joints_cam(row), 0)
        root_depth = joints_cam[list(TWO_HANDS.roots), 2]  # [right, left]; 0 without a valid root
        both_roots = valid[list(TWO_HANDS.roots)].all()
        keypoints = np.zeros_like(joints_cam)
        keypoints[valid, :2] = project(joints_cam[valid], focal, principal_point)
        keypoints[:, 2] = joints_cam[:, 2] - joints_cam[list(TWO_HANDS.root_of_joint), 2]
        abs_depth = root_depth if self.rootnet_depth_mm is None else self.rootnet_depth_mm[row]
        return {
            "img_path": str(Path(self.data_prefix["img"]) / table.file_name[row].decode()),
            "img_id": int(table.image_id[row]),
            "id": int(table.annotation_id[row]),
            "seq_name": str(table.sequence_name[table.sequence[row]]),
            "camera": str(table.camera_name[camera]),
            "capture": int(table.capture[camera]),
            "subject": int(table.subject[row]),
            "frame_idx": int(table.frame_idx[row]),
            "keypoints": keypoints[None].astype(np.float32),
            "keypoints_cam": joints_cam[None].astype(np.float32),
            "keypoints_visible": valid[None].astype(np.float32),
            "hand_type": table.hand_type[row][None].astype(np.float32),
            "hand_type_valid": table.hand_type_valid[row][None].astype(np.float32),
            "rel_root_depth": np.array([both_roots * (root_depth[LEFT] - root_depth[RIGHT])], dtype=np.float32),
            "rel_root_valid": np.array([both_roots], dtype=np.float32),
            "abs_depth": np.asarray(abs_depth, dtype=np.float32),
            "focal": focal.astype(np.float32),
            "principal_pt": principal_point.astype(np.float32),
            "bbox": xywh_to_xyxy(table.bbox_xywh[row])[None].astype(np.float32),
            "bbox_score": np.ones(1, dtype=np.float32),
            "rotation": 0,
        }
