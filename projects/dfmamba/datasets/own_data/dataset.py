"""One's own pictures and their JSON file as an mmpose data set."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.own_data.annotations import PARSER_VERSION, parse_own_data
from dfmamba.datasets.own_data.grouping import PAIR_CHOICES, group_hands
from dfmamba.datasets.own_data.joint_orders import CANONICAL, JOINT_ORDERS
from dfmamba.datasets.own_data.json_file import read_file
from dfmamba.datasets.own_data.placing import PlacedHands, place_hands
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.sample import build_sample
from dfmamba.skeleton import NUM_HAND_JOINTS, TWO_HANDS, inverse, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SPLITS = ("train", "val", "test")


@DATASETS.register_module()
class OwnHandsDataset(HandDataset):
    """One's own pictures: 42 joints a sample, right hand first, of one hand or of two that touch.

    The JSON file is described in `dfmamba.datasets.own_data.json_file` and docs/own_data.md. Samples say what of them
    is known by `depth_known` and `space_known`, see `dfmamba.datasets.base`. `id` is the number of the sample's first
    hand in the file, `img_id` and `frame_idx` the number of the image, both from 0; faulty ones that are skipped count
    for `id` and `img_id` not.

    Args:
        split: 'train', 'val' or 'test'; the JSON file has this name.
        data_root: The folder with the JSON files.
        ann_file: The JSON file, relative to `data_root`; by default that of the split.
        data_prefix: `dict(img=...)`, the folder that the names of the images are relative to; by default `data_root`.
        pairs: Which hands of an image make one sample, see `group_hands`.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument, an image or a hand is faulty, see `parse_own_data`.
    """

    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(TWO_HANDS, "own_data", joint_colors(TWO_HANDS))
    EXPECTED_LAYOUT: ClassVar[str] = """\
  train.json                     images and hands to train on, see docs/own_data.md
  val.json                       only for split='val'
  test.json                      others to test on
  images/0001.jpg, ...           what `file` in the JSON files names, relative to data_root
  <another>.json                 only for ann_file=<this path>"""

    def __init__(
        self,
        split: str = "train",
        data_root: str = "",
        ann_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        pairs: str = "touching",
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        if pairs not in PAIR_CHOICES:
            raise ValueError(f"pairs: expected one of {PAIR_CHOICES}, got {pairs!r}")
        self.split, self.pairs = split, pairs
        self.index: Index
        self.hands: NDArray[np.int64]  # (S, 2), the rows of the index of each sample's [right, left] hand
        super().__init__(
            data_root=data_root,
            ann_file=ann_file or f"{split}.json",
            data_prefix=data_prefix or {"img": ""},
            **kwargs,
        )

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; see `HandDataset`."""
        path = self.require("ann_file", self.ann_file)
        self.index = self.open_index(
            "own_data", PARSER_VERSION, [path], lambda: parse_own_data(path, RecordErrorPolicy(self.faulty))
        )
        self.hands = group_hands(self.index.columns, self.pairs)
        return np.arange(len(self.hands)), self.index.skipped

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`."""
        return super().describe_source() | {"root_depth": "gt, where the file has it", "pairs": self.pairs}

    def joint_orders(self) -> dict[str, tuple[int, ...]]:
        """See `HandDataset`: every order that the file can name in place of its own."""
        back = inverse(read_file(self.require("ann_file", self.ann_file))[0].order)
        names: dict[tuple[int, ...], list[str]] = {}
        for name, order in JOINT_ORDERS.items():
            names.setdefault(tuple(back[joint] for joint in order), []).append(f"{name!r}")
        return {f'"joint_order": {" or ".join(same)}': order for order, same in names.items() if order != CANONICAL}

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """See `HandDataset`: `keypoints_px` beside joints in space; without these they are the sample's own."""
        points_px = super().read_image_points(samples)
        for number, sample in enumerate(samples):
            placed = self._place(int(self.rows[sample["sample_idx"]]))
            is_witness = np.repeat(placed.space_known, NUM_HAND_JOINTS)
            points_px[number, is_witness] = placed.file_points_px[is_witness]
        return points_px

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        images = self.index.columns["image"][self.hands[rows].max(axis=1)]
        return [name.decode() for name in self.index.columns["file_name"][images].tolist()]

    def _place(self, row: int) -> PlacedHands:
        return place_hands(self.index.columns, self.hands[row])

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        placed, hands = self._place(row), self.hands[row]
        first = hands[placed.there].min()
        image = int(self.index.columns["image"][first])
        sample = build_sample(
            placed.joints_cam_mm,
            placed.valid,
            root_depth_mm=np.repeat(placed.root_depth_mm, NUM_HAND_JOINTS),
            abs_depth_mm=placed.root_depth_mm,
            focal_px=placed.focal_px,
            principal_point_px=placed.principal_point_px,
            hand_type=placed.there,
            rel_root_valid=bool(placed.space_known.all()),
            bbox_xyxy=placed.box_xyxy,
            image_size=self.index.columns["image_size"][image],
            img_id=image,
            id=int(self.index.columns["hand_id"][first]),
            seq_name=self.split,
            camera="",
            frame_idx=image,
        )
        return sample | {
            "depth_known": placed.depth_known.astype(np.float32),
            "space_known": placed.space_known.astype(np.float32),
        }
