"""The parser and the adapter."""

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from mmpose.registry import DATASETS

from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.sample import build_sample
from dfmamba.geometry import project, tight_box, xywh_to_xyxy
from dfmamba.io.json_records import read_json_as
from dfmamba.skeleton import ONE_HAND, WRIST, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SIZE, FOCAL_PX, CENTER_PX = (96, 96), (200.0, 200.0), (47.5, 47.5)


class Hand(msgspec.Struct):
    """A record of hands.json: the joints in camera space in mm, in canonical order."""

    image: str
    joints_mm: list[list[float]]


def parse_toy_hands(path: Path) -> AnnotationColumns:
    """Read hands.json."""
    hands = read_json_as(path, list[Hand])
    columns = {
        "image": np.array([hand.image.encode() for hand in hands]),
        "joints_mm": np.array([hand.joints_mm for hand in hands]),
    }
    return AnnotationColumns(columns, skipped={})


@DATASETS.register_module()
class ToyHandsDataset(HandDataset):
    """One right hand a picture, 21 joints."""

    METAINFO: ClassVar[dict] = mmpose_metainfo(ONE_HAND, "toy_hands", joint_colors(ONE_HAND))
    EXPECTED_LAYOUT: ClassVar[str] = "  hands.json\n  images/0.png"

    def load_annotations(self):
        """Open the index of hands.json."""
        path = self.require("data_root", Path(self.data_root) / "hands.json")
        self.index = self.open_index("toy_hands", 1, [path], lambda: parse_toy_hands(path))
        return np.arange(len(self.index.columns["image"])), {}

    def image_names(self, rows):
        """Return the names of the pictures."""
        return [name.decode() for name in self.index.columns["image"][rows].tolist()]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row."""
        joints, valid = self.index.columns["joints_mm"][row], np.ones(ONE_HAND.num_joints, dtype=bool)
        return build_sample(
            joints,
            valid,
            root_depth_mm=joints[WRIST, 2],
            abs_depth_mm=(joints[WRIST, 2], 0),
            focal_px=FOCAL_PX,
            principal_point_px=CENTER_PX,
            hand_type=(1, 0),
            bbox_xyxy=xywh_to_xyxy(tight_box(project(joints, FOCAL_PX, CENTER_PX), valid, 1.2)),
            image_size=SIZE,
            img_id=row,
            id=row,
            seq_name="",
            camera="",
            frame_idx=row,
        )
