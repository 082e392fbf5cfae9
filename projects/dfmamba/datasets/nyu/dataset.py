"""The NYU hand pose data set as an mmpose data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.nyu.annotations import (
    NUM_CAMERAS,
    PARSER_VERSION,
    cube_box,
    depth_file_name,
    parse_nyu,
)
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.sample import build_sample
from dfmamba.geometry import NYU_FOCAL, NYU_IMAGE_SIZE, NYU_PRINCIPAL_POINT, camera_to_nyu_uvd, flip_y
from dfmamba.io.files import read_mat
from dfmamba.skeleton import NYU_14, NYU_14_OF_36, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

SPLITS = ("train", "test")
GT_KINDS = ("joint_uvd", "joint_xyz")


@DATASETS.register_module()
class NYUDataset(HandDataset):
    """NYU: one sample for every frame of a camera, 14 joints, a right hand, depth images.

    There is no root joint: z of `keypoints` is relative to the depth of the crop's center, which is `root_depth` of all
    joints and, twice, `abs_depth`. `bbox` is what lies within `half_mm` of the center at its depth; `CropDepthCube`
    clamps it to the image. Predictions are scored in absolute camera space.

    A2J's centers (`nyu_center_<split>.mat`, in its repository) are the output of a network for camera 1, which
    V2V-PoseNet published (`center_<split>_refined.txt`), and the published results use them. The mean of the 14 joints
    takes the true position from the annotation: with it, test results are better than they should be, and not
    comparable.

    Args:
        split: 'train' or 'test'.
        data_root: The folder `dataset` with `train` and `test`.
        ann_file: `joint_data.mat`, relative to `data_root`.
        centers: 'joints' for the mean of the 14 joints, or the path of A2J's, V2V-PoseNet's, REN's or Pose-REN's
            centers, relative to `data_root`.
        camera: Kinect 1 (from the front; everybody's), 2 or 3.
        gt: 'joint_uvd' is what the published results were computed with; 'joint_xyz' differs by the focal length's
            third decimal.
        half_mm: Half a side of the crop in x and y.
        data_prefix: `dict(img=...)`, the folder of the images, relative to `data_root`.
        **kwargs: See `HandDataset`.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_nyu`.
    """

    PUBLISHED_RECORDS: ClassVar[dict[str, int]] = {"train": 72_757, "test": 8_252}  # the official reader
    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(NYU_14, "nyu", joint_colors(NYU_14))
    LOSSLESS_IMAGES: ClassVar[bool] = True
    EXPECTED_LAYOUT: ClassVar[str] = """\
  {split}/joint_data.mat                 {split} = train or test
  {split}/depth_1_0000001.png            depth_<camera>_<frame from 1>.png
  {split}/depth_1_0000002.png
  ...
  nyu_center_{split}.mat                 A2J's centers, only for centers=<this path>
  center_{split}_refined.txt             V2V-PoseNet's centers, the same format"""

    def __init__(
        self,
        split: str = "train",
        data_root: str = "",
        ann_file: str | None = None,
        centers: str = "joints",
        camera: int = 1,
        gt: str = "joint_uvd",
        half_mm: float = 110.0,
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        if camera not in range(1, NUM_CAMERAS + 1):
            raise ValueError(f"camera: expected 1 to {NUM_CAMERAS}, got {camera!r}")
        if gt not in GT_KINDS:
            raise ValueError(f"gt: expected one of {GT_KINDS}, got {gt!r}")
        if camera != 1 and centers != "joints":
            raise ValueError(
                f"centers: expected 'joints' with camera={camera}, for the files' centers are those of "
                f"camera 1, got {centers!r}"
            )
        if not half_mm > 0:
            raise ValueError(f"half_mm: expected a positive number, got {half_mm!r}")
        self.split, self.camera, self.gt, self.half_mm, self.centers = split, camera, gt, half_mm, centers
        self.index: Index
        super().__init__(
            data_root=data_root,
            ann_file=ann_file or f"{split}/joint_data.mat",
            data_prefix=data_prefix or {"img": split},
            **kwargs,
        )

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; see `HandDataset`."""
        joint_file = self.require("ann_file", self.ann_file)
        center_file = None
        if self.centers != "joints":
            center_file = self.require("centers", Path(self.data_root) / self.centers)
        self.index = self.open_index(
            "nyu",
            PARSER_VERSION,
            [joint_file, *([center_file] if center_file else [])],
            lambda: parse_nyu(
                joint_file,
                center_file,
                RecordErrorPolicy(self.faulty),
                camera=self.camera,
                gt=self.gt,
                half_mm=self.half_mm,
            ),
            {"camera": self.camera, "gt": self.gt, "half_mm": float(self.half_mm)},
        )
        return np.arange(len(self.index.columns["frame"])), dict(self.index.skipped)

    def needed_paths(self) -> dict[str, Path]:
        """See `HandDataset`."""
        centers = {"centers": Path(self.data_root) / self.centers} if self.centers != "joints" else {}
        return {"ann_file": Path(self.ann_file), **centers, **super().needed_paths()}

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`."""
        return super().describe_source() | {
            "camera": self.camera,
            "gt": self.gt,
            "centers": self.centers,
            "half_mm": self.half_mm,
        }

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """See `HandDataset`: the file has the joints in px and depth and in mm; the one that is not used tells."""
        points_px = super().read_image_points(samples)
        other = "joint_xyz" if self.gt == "joint_uvd" else "joint_uvd"
        joints = read_mat(Path(self.ann_file), [other])[other][self.camera - 1]
        for number, sample in enumerate(samples):
            points = joints[sample["frame_idx"] - 1][list(NYU_14_OF_36)]
            points_px[number] = (camera_to_nyu_uvd(flip_y(points)) if other == "joint_xyz" else points)[:, :2]
        return points_px

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        return [depth_file_name(self.camera, frame) for frame in self.index.columns["frame"][rows].tolist()]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        columns = self.index.columns
        frame, joints_cam, center_uvd = int(columns["frame"][row]), columns["joints_cam"][row], columns["center"][row]
        return build_sample(
            joints_cam,
            np.ones(NYU_14.num_joints, dtype=bool),
            root_depth_mm=center_uvd[2],
            abs_depth_mm=np.repeat(center_uvd[2], 2),
            focal_px=NYU_FOCAL,
            principal_point_px=NYU_PRINCIPAL_POINT,
            hand_type=[1, 0],
            hand_type_valid=0,  # nobody says which hand it is
            bbox_xyxy=cube_box(center_uvd, self.half_mm),
            image_size=NYU_IMAGE_SIZE,
            img_id=frame + 1,
            id=frame + 1,  # as in the files' names
            seq_name=Path(self.data_prefix["img"]).name,
            camera=str(self.camera),
            frame_idx=frame + 1,
        )
