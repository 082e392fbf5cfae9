"""InterHand2.6M v1.0 as an mmpose data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.interhand26m.annotations import HAND_TYPES, PARSER_VERSION, joints_in_camera, parse_interhand26m
from dfmamba.datasets.interhand26m.rootnet import PARSER_VERSION as ROOTNET_PARSER_VERSION
from dfmamba.datasets.interhand26m.rootnet import parse_rootnet
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.sample import build_sample
from dfmamba.geometry import xywh_to_xyxy
from dfmamba.skeleton import TWO_HANDS, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SPLITS = ("train", "val", "test")


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
        camera_file: `..._camera.json`, in the same way.
        joint_file: `..._joint_3d.json`, in the same way.
        data_prefix: `dict(img=...)`, the folder of the images, in the same way.
        root_depth: 'gt' (`abs_depth` is the true depth of the wrists), or a RootNet result file relative to `data_root`
            (`abs_depth` and `bbox` come from it; records that it lacks are skipped and counted).
        hand_types: Only samples of these types.
        keep_unannotated: Keep the records that have no hand with a valid root as samples without a valid joint, as the
            official loader does. They have no part in MPJPE and MRRPE; the official handedness accuracy counts them.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_interhand26m`.
    """

    # The home page, v1.0, 5 frames a second, human and machine annotation together, as in the paper.
    PUBLISHED_RECORDS: ClassVar[dict[str, int]] = {"train": 1_361_062, "val": 380_125, "test": 849_160}
    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(TWO_HANDS, "interhand26m", joint_colors(TWO_HANDS))
    EXPECTED_LAYOUT: ClassVar[str] = """\
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
        keep_unannotated: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        if not hand_types or isinstance(hand_types, str) or not set(hand_types) <= set(HAND_TYPES):
            raise ValueError(f"hand_types: expected a list of some of {list(HAND_TYPES)}, got {hand_types!r}")
        self.split = split
        self.hand_types = tuple(hand_types)
        self.root_depth, self.keep_unannotated = root_depth, keep_unannotated
        default = f"annotations/{split}/InterHand2.6M_{split}_"
        self.camera_file = str(Path(data_root) / (camera_file or default + "camera.json"))
        self.joint_file = str(Path(data_root) / (joint_file or default + "joint_3d.json"))
        self.index: Index
        self.rootnet: Index | None = None
        self.rootnet_row: NDArray[np.int64]  # (N,), the row of `rootnet` for each annotation
        super().__init__(
            data_root=data_root,
            ann_file=ann_file or default + "data.json",
            data_prefix=data_prefix or {"img": f"images/{split}"},
            **kwargs,
        )

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index of the three files, and of RootNet's if it is used; see `HandDataset`."""
        sources = (
            self.require("ann_file", self.ann_file),
            self.require("camera_file", self.camera_file),
            self.require("joint_file", self.joint_file),
        )
        index = self.index = self.open_index(
            "interhand26m",
            PARSER_VERSION,
            sources,
            lambda: parse_interhand26m(
                *sources, RecordErrorPolicy(self.faulty), keep_unannotated=self.keep_unannotated
            ),
            {"keep_unannotated": True} if self.keep_unannotated else {},
        )
        wanted = np.array([HAND_TYPES[name] for name in self.hand_types])
        selected = (index.columns["hand_type"][:, None] == wanted).all(axis=2).any(axis=1)  # (N,)
        skipped = index.skipped | {"hand type not selected": int((~selected).sum())}
        if self.root_depth != "gt":
            found = self._open_rootnet(
                self.require("root_depth", Path(self.data_root) / self.root_depth), index.columns["annotation_id"]
            )
            skipped["not in the RootNet file"] = int((selected & ~found).sum())
            selected &= found
        return np.flatnonzero(selected), skipped

    def _open_rootnet(self, path: Path, annotation_id: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Open RootNet's boxes and root depths; return which annotations have them, (N,)."""
        index = self.rootnet = self.open_index(
            "interhand26m-rootnet",
            ROOTNET_PARSER_VERSION,
            [path],
            lambda: parse_rootnet(path, RecordErrorPolicy(self.faulty)),
        )
        known, wanted = index.columns["annotation_id"], annotation_id
        self.rootnet_row = np.searchsorted(known, wanted).clip(max=max(len(known) - 1, 0))
        return known[self.rootnet_row] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)

    def needed_paths(self) -> dict[str, Path]:
        """See `HandDataset`."""
        paths = {
            "ann_file": Path(self.ann_file),
            "camera_file": Path(self.camera_file),
            "joint_file": Path(self.joint_file),
        }
        if self.root_depth != "gt":
            paths["root_depth"] = Path(self.data_root) / self.root_depth
        return paths | super().needed_paths()

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`."""
        source = super().describe_source() | {"root_depth": self.root_depth, "hand_types": list(self.hand_types)}
        if self.keep_unannotated:  # else as ever, for the fingerprint's sake
            source["has_every_record"] = len(self.rows) == len(self.index.columns["annotation_id"]) and not any(
                self.index.skipped.values()
            )
        return source

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        return [name.decode() for name in self.index.columns["file_name"][rows].tolist()]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        table = self.index.columns
        camera, valid = table["camera"][row], table["joint_valid"][row]
        joints_cam = np.where(valid[:, None], joints_in_camera(table, row), 0)
        root_depth = joints_cam[list(TWO_HANDS.root_of_joint), 2]  # 0 without a valid root
        bbox, abs_depth = table["bbox_xywh"][row], root_depth[list(TWO_HANDS.roots)]
        if self.rootnet is not None:
            rootnet_row = self.rootnet_row[row]
            bbox = self.rootnet.columns["bbox_xywh"][rootnet_row]
            abs_depth = self.rootnet.columns["abs_depth_mm"][rootnet_row]
        return build_sample(
            joints_cam,
            valid,
            root_depth_mm=root_depth,
            abs_depth_mm=abs_depth,
            focal_px=table["focal_px"][camera],
            principal_point_px=table["principal_point_px"][camera],
            hand_type=table["hand_type"][row],
            hand_type_valid=table["hand_type_valid"][row],
            rel_root_valid=bool(valid[list(TWO_HANDS.roots)].all()),
            bbox_xyxy=xywh_to_xyxy(bbox),
            image_size=table["image_size"][row],
            img_id=int(table["image_id"][row]),
            id=int(table["annotation_id"][row]),
            seq_name=table["sequence_name"][table["sequence"][row]].decode(),
            camera=table["camera_name"][camera].decode(),
            capture=int(table["capture"][camera]),
            subject=int(table["subject"][row]),
            frame_idx=int(table["frame_idx"][row]),
        )
