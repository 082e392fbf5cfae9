"""A finder's targets: where the middle of the right and of the left hand is, and their boxes."""

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from numpy.typing import NDArray

from dfmamba.codecs.a2j import A2JCodec, FloatArray
from dfmamba.hand_boxes import FoundBoxes, boxes_at_peaks, boxes_of_hands
from dfmamba.skeleton import SIDES, TWO_HANDS

SPREAD = 0.09  # standard deviation of the Gaussian as a part of the box's side: TTFNet's, where it is 0.54 / 6
MIN_SIGMA = 0.5  # cells


@KEYPOINT_CODECS.register_module()
class HandBoxCodec(BaseKeypointCodec):
    """Turn the joints of two hands into a heatmap and a box for each side, and maps back into boxes.

    A heatmap has a Gaussian around the cell with the middle of the hand's box, with peak 1, as wide and as high as the
    box is. Source: Liu et al., Training-Time-Friendly Network for Real-Time Object Detection (AAAI 2020); peaks as
    objects are from Zhou et al., Objects as Points (2019).

    Args:
        input_size: (width, height) of the picture in px.
        map_size: (width, height) of the maps in cells.
        min_score: Height of a peak from which on it may be a hand. Low, because average precision asks for all of them;
            `HandFinder` takes the surer ones.
    """

    auxiliary_encode_keys = {"hand_type"}  # noqa: RUF012, mmpose's interface

    # These tables replace the tables of PackPoseInputs, so they must name everything that losses and metrics read.
    instance_mapping_table = A2JCodec.instance_mapping_table
    label_mapping_table = {name: name for name in ("hand_boxes", "hand_box_weights")}  # noqa: RUF012
    field_mapping_table = {name: name for name in ("heatmaps", "heatmap_weights")}  # noqa: RUF012

    def __init__(
        self,
        input_size: tuple[int, int] = (256, 256),
        map_size: tuple[int, int] = (32, 32),
        min_score: float = 0.05,
    ) -> None:
        super().__init__()
        self.input_size = (input_size[0], input_size[1])  # a config has lists
        self.map_size, self.min_score = tuple(map_size), min_score

    @property
    def stride(self) -> NDArray[np.float64]:
        """Pixels (x, y) that a cell covers."""
        return np.divide(self.input_size, self.map_size)

    def encode(
        self, keypoints: FloatArray, keypoints_visible: FloatArray | None = None, hand_type: FloatArray | None = None
    ) -> dict[str, FloatArray]:
        """Make the targets of a picture.

        Args:
            keypoints: (1, 42, 2 or more): x, y in px of the picture; the rest is not read.
            keypoints_visible: (1, 42), above 0 where a joint is annotated; None where all are.
            hand_type: (1, 2), which of the [right, left] hands are there; None where both are.

        Returns:
            All in float32: `heatmaps` (2, H, W), [right, left]; `heatmap_weights` (2, H, W), 0 where a hand is that
            none has to find, else 1; `hand_boxes` (1, 2, 4), corners in px; `hand_box_weights` (1, 2), 1 where there is
            a box.

        Raises:
            ValueError: These are not the joints of two hands.
        """
        if keypoints.shape[:2] != (1, TWO_HANDS.num_joints):
            raise ValueError(f"keypoints: expected the joints of two hands, (1, 42, 2 or 3), got {keypoints.shape}")
        visible = np.ones(keypoints.shape[1]) if keypoints_visible is None else keypoints_visible[0]
        there = np.ones(len(SIDES)) if hand_type is None else hand_type
        corners, is_there, is_open = boxes_of_hands(keypoints[0], visible, there, self.input_size)
        width, height = self.map_size
        heatmaps, weights = np.zeros((len(SIDES), height, width)), np.ones((len(SIDES), height, width))
        for side in range(len(SIDES)):
            low, high = corners[side, :2] / self.stride, corners[side, 2:] / self.stride  # in cells
            if is_there[side]:
                heatmaps[side] = self._gaussian((low + high) / 2, high - low)
            elif is_open[side] and (high > low).all():
                (left, top), (right, bottom) = np.floor(low).astype(int), np.ceil(high).astype(int)
                weights[side, top:bottom, left:right] = 0
            elif is_open[side]:
                weights[side] = 0
        targets = {
            "heatmaps": heatmaps,
            "heatmap_weights": weights,
            "hand_boxes": corners[None],
            "hand_box_weights": is_there[None],
        }
        return {name: target.astype(np.float32) for name, target in targets.items()}

    def _gaussian(self, middle: FloatArray, extent: FloatArray) -> FloatArray:
        """Return a Gaussian (H, W) around the cell that a point (2,) in cells is in, for a box of this extent (2,)."""
        cell = np.minimum(np.floor(middle), np.subtract(self.map_size, 1))
        sigma = np.maximum(SPREAD * extent, MIN_SIGMA)
        columns, rows = (
            np.exp(-(((np.arange(size) - cell[axis]) / sigma[axis]) ** 2) / 2)
            for axis, size in enumerate(self.map_size)
        )
        return rows[:, None] * columns

    def decode(self, encoded: FloatArray, boxes: FloatArray) -> FoundBoxes:
        """Return the boxes, in px of the picture, of heatmaps (2, H, W) and boxes (2, 4, H, W)."""
        return boxes_at_peaks(encoded, boxes, self.min_score)
