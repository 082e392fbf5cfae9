"""A2J-Transformer's targets: crop pixels in the plane, depth bins around the hand's root."""

from typing import Any

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from numpy.typing import NDArray

from dfmamba.skeleton import spread_over_joints

FloatArray = NDArray[np.floating]


@KEYPOINT_CODECS.register_module()
class A2JCodec(BaseKeypointCodec):
    """Turn joints (crop px, crop px, root-relative mm) into A2J-Transformer's units and back.

    x and y stay crop pixels. The depth range of `depth_range_mm` around the root is cut into `depth_bins` units:
    z_label = (z_mm / depth_range_mm + 1/2) depth_bins, so the root is at the middle (128) and, by default, one unit is
    1.5625 mm. Source: Jiang et al., A2J-Transformer (CVPR 2023), and its public code.

    Args:
        input_size: (width, height) of the crop in px.
        depth_bins: Units along the depth axis.
        depth_range_mm: Full depth of the volume in mm, half of it on each side of the root.
    """

    # These tables replace the tables of PackPoseInputs, so they must name everything that losses and metrics read.
    instance_mapping_table = {  # noqa: RUF012, mmpose's interface
        "bbox": "bboxes",
        "bbox_score": "bbox_scores",
        "keypoints": "keypoints",
        "keypoints_cam": "keypoints_cam",
        "keypoints_visible": "keypoints_visible",
    }
    label_mapping_table = {  # noqa: RUF012, mmpose's interface
        "keypoint_labels": "keypoint_labels",
        "keypoint_weights": "keypoint_weights",
        "depth_weights": "depth_weights",
    }
    auxiliary_encode_keys = {"depth_known"}  # noqa: RUF012, mmpose's interface

    def __init__(
        self, input_size: tuple[int, int] = (256, 256), depth_bins: int = 256, depth_range_mm: float = 400.0
    ) -> None:
        super().__init__()
        self.input_size = tuple(input_size)
        self.depth_bins = depth_bins
        self.depth_range_mm = depth_range_mm

    @property
    def mm_per_bin(self) -> float:
        """Depth of one unit in mm."""
        return self.depth_range_mm / self.depth_bins

    def encode(
        self,
        keypoints: FloatArray,
        keypoints_visible: FloatArray | None = None,
        depth_known: FloatArray | None = None,
    ) -> dict[str, FloatArray]:
        """Make the targets.

        Args:
            keypoints: (N, K, 3): x, y in crop px, z in mm relative to the root of the joint's hand.
            keypoints_visible: (N, K), above 0 where a joint is annotated; None where all are.
            depth_known: (2,), of the [right, left] hand, 0 where z is not known; None where it is.

        Returns:
            `keypoint_labels` (N, K, 3) float32, and `keypoint_weights` (N, K) float32: 0 for joints that are not
            annotated, not finite or outside [0, width) x [0, height) x [0, depth_bins), else 1. `depth_weights` (N, K)
            float32 are the same, but 0 where z is not known.

        Raises:
            ValueError: The joints are not three-dimensional.
        """
        if keypoints.ndim != 3 or keypoints.shape[-1] != 3:
            raise ValueError(
                f"keypoints: expected shape (N, K, 3), x and y in crop px and z in mm, got {keypoints.shape}"
            )
        labels = keypoints.astype(np.float32)
        labels[..., 2] = (labels[..., 2] / self.depth_range_mm + 0.5) * self.depth_bins
        inside = ((labels >= 0) & (labels < (*self.input_size, self.depth_bins))).all(axis=-1)
        annotated = np.ones_like(inside) if keypoints_visible is None else keypoints_visible > 0
        labels[~np.isfinite(labels)] = 0  # such joints have weight 0, but 0 * NaN would be NaN
        weights = (inside & annotated).astype(np.float32)
        of_hands = [1.0, 1.0] if depth_known is None else depth_known.tolist()
        known = np.array(spread_over_joints(of_hands, labels.shape[1]), dtype=np.float32) > 0
        return {
            "keypoint_labels": labels,
            "keypoint_weights": weights,
            "depth_weights": (weights * known).astype(np.float32),
        }

    def to_mm(self, bins: Any) -> Any:
        """Turn depth bins into mm behind the root: arrays, tensors and numbers alike."""
        return (bins / self.depth_bins - 0.5) * self.depth_range_mm

    def decode(self, encoded: FloatArray, scores: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Turn head units back into crop px and mm.

        Args:
            encoded: (N, K, 3) in (crop px, crop px, depth bins).
            scores: (N, K); None means ones.

        Returns:
            Joints (N, K, 3): x, y in crop px, z in mm relative to the root; and their scores (N, K).
        """
        keypoints = encoded.copy()
        keypoints[..., 2] = self.to_mm(keypoints[..., 2])
        return keypoints, np.ones(keypoints.shape[:-1], keypoints.dtype) if scores is None else scores
