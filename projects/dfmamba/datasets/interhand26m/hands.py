"""InterHand2.6M hand by hand, for models of one hand."""

from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.interhand26m.dataset import InterHand26MDataset
from dfmamba.datasets.sample import SAMPLE_NAMES, build_one_of_two
from dfmamba.geometry import project, tight_box, xywh_to_xyxy
from dfmamba.skeleton import NUM_HAND_JOINTS, WRIST, hand_slice

BOX_ENLARGEMENT = 1.2  # of the file's own boxes over the tight box of the joints, both hands together
MIN_JOINTS = 2  # a box needs two points


@DATASETS.register_module()
class InterHand26MHandsDataset(InterHand26MDataset):
    """InterHand2.6M with one sample for every annotated hand: two for an image with two hands, the right one first.

    Samples have 42 joints of which one hand is valid, as those of RHP and AssemblyHands. `bbox` is the tight box of the
    hand's valid joints times 1.2: the file's own box, where the image has one hand. Hands without a wrist, or with
    fewer than two valid joints, are left out and counted.

    Args:
        **kwargs: See `InterHand26MDataset`; `root_depth` can only be 'gt', because RootNet's boxes hold both hands.

    Raises:
        ValueError: `root_depth` is not 'gt', `keep_unannotated` is true, or as `InterHand26MDataset`.
    """

    PUBLISHED_RECORDS: ClassVar[dict[str, int]] = {}  # of images, not of hands

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("root_depth", "gt") != "gt":
            raise ValueError(f"root_depth: expected 'gt' for single hands, got {kwargs['root_depth']!r}")
        if kwargs.get("keep_unannotated"):
            raise ValueError("keep_unannotated: expected False for single hands, which are annotated ones, got True")
        super().__init__(**kwargs)

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Return a row for every hand: 2 annotation + side; see `HandDataset`."""
        annotations, skipped = super().load_annotations()
        table = self.index.columns
        there = table["hand_type"][annotations] > 0  # (N, 2)
        valid = table["joint_valid"][annotations].reshape(-1, 2, NUM_HAND_JOINTS)
        usable = there & valid[:, :, WRIST] & (valid.sum(axis=-1) >= MIN_JOINTS)
        samples, sides = np.nonzero(usable)
        missing = {"hand without a wrist or with one joint only": int(there.sum() - usable.sum())}
        return 2 * annotations[samples] + sides, skipped | missing

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        return super().image_names(rows // 2)

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        annotation, side = divmod(row, 2)
        sample = super().make_sample(annotation)
        joints = sample["keypoints_cam"][0, hand_slice(side)]
        valid = sample["keypoints_visible"][0, hand_slice(side)] > 0
        focal, principal_point = sample["focal"], sample["principal_pt"]
        points = project(np.where(valid[:, None], joints, 1), focal, principal_point)
        return build_one_of_two(
            side,
            joints,
            valid,
            focal_px=focal,
            principal_point_px=principal_point,
            bbox_xyxy=xywh_to_xyxy(tight_box(points, valid, BOX_ENLARGEMENT)),
            image_size=sample["image_size"],
            **{name: sample[name] for name in SAMPLE_NAMES},
        )
