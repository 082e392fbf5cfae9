"""InterNet's augmentation for mmpose pipelines; A2J-Transformer uses the same.

With mmpose's own transforms the crop is InterNet's: `GetBBoxCenterScale(padding=1.25)` enlarges the box, and
`TopdownAffine` makes it square (the short side grows about the center) and warps it. The order of a training pipeline:

    LoadImage, RandomHandFlip, GetBBoxCenterScale, RandomHandBBoxTransform, TopdownAffine, RandomColorScale,
    MaskBlankImage, GenerateTarget, PackPoseInputs

Rotation turns the crop and with it x and y of `transformed_keypoints`; a turn in the image plane does not touch depths,
so the 2.5D targets stay right. But `keypoints_cam` is not turned, and mmpose's way back from crop to image
(x / input_size * input_scale + input_center - input_scale / 2) knows no rotation: samples that went through
`RandomHandBBoxTransform` are for training only. The flip keeps everything consistent, 3D included.
"""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS
from numpy.typing import NDArray

from dfmamba.datasets.sample import mirror


@TRANSFORMS.register_module()
class RandomHandFlip(BaseTransform):
    """Mirror a sample left to right, with probability `prob`: image, joints, boxes, hand sides and camera.

    u becomes W - 1 - u, in the principal point too; X changes its sign in camera space; joints, validity, hand type and
    root depths change hands. So the projection of `keypoints_cam` still is `keypoints`, which mmpose's `HandRandomFlip`
    does not give (it leaves `keypoints_cam`, `principal_pt` and `abs_depth` as they were). Twice is the identity.

    Required keys: img, flip_indices. Changed where they are there: img, keypoints, keypoints_cam, keypoints_visible,
    principal_pt, hand_type, depth_known, space_known, rel_root_depth, abs_depth, root_depth, bbox, bbox_center,
    bbox_rotation. Added: flip, flip_direction.

    Args:
        prob: Probability of a flip.

    Raises:
        ValueError: `prob` is no probability, or the crop has been made already.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob: expected a number from 0 to 1, got {prob}")
        self.prob = prob

    @cache_randomness
    def _draw(self) -> bool:
        """Decide whether to flip."""
        return bool(np.random.rand() < self.prob)  # noqa: NPY002, mmengine seeds numpy's global generator

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Flip or not; arrays are replaced, not written to."""
        if "transformed_keypoints" in results:
            raise ValueError("RandomHandFlip: expected a place before TopdownAffine in the pipeline, got one after it")
        results["flip"] = self._draw()
        results["flip_direction"] = "horizontal" if results["flip"] else None
        if results["flip"]:
            mirror(results)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"


@TRANSFORMS.register_module()
class RandomHandBBoxTransform(BaseTransform):
    """Shift, scale and rotate the box that will be cropped, as InterNet does.

    Shift in x and in y: uniform in +-`shift` times the box's longer side. Sides: times 1 + `scale` clip(n, -1, 1).
    Rotation, with probability `rotation_prob`: `rotation_deg` clip(n, -2, 2) degrees, else 0. n is from N(0, 1).

    Required keys: bbox_center, bbox_scale (both (1, 2) px, made by `GetBBoxCenterScale`, so the side includes its
    enlargement, as in InterNet). Changed: both. Added: bbox_rotation (1,) in degrees.

    Args:
        shift: Largest shift as a part of the box's side.
        scale: Largest change of the box's side as a part of it.
        rotation_deg: Standard deviation of the rotation in degrees, before the clip at twice that.
        rotation_prob: Probability of a rotation.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self, shift: float = 0.15, scale: float = 0.25, rotation_deg: float = 45.0, rotation_prob: float = 0.6
    ) -> None:
        if shift < 0 or not 0 <= scale < 1 or rotation_deg < 0 or not 0 <= rotation_prob <= 1:
            raise ValueError(
                "RandomHandBBoxTransform: expected shift >= 0, 0 <= scale < 1, rotation_deg >= 0 and "
                f"0 <= rotation_prob <= 1, got {shift}, {scale}, {rotation_deg} and {rotation_prob}"
            )
        self.shift, self.scale = shift, scale
        self.rotation_deg, self.rotation_prob = rotation_deg, rotation_prob

    @cache_randomness
    def _draw(self) -> tuple[NDArray[np.float64], float, float]:
        """Draw shift (2,) as a part of the side, factor on the side, and rotation in degrees."""
        random = np.random  # the global generator, which mmengine seeds in every worker
        shift = random.uniform(-self.shift, self.shift, 2)
        factor = 1 + self.scale * np.clip(random.randn(), -1, 1)
        rotate = random.rand() < self.rotation_prob
        rotation = self.rotation_deg * np.clip(random.randn(), -2, 2) if rotate else 0.0
        return shift, factor, rotation

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the box."""
        shift, factor, rotation = self._draw()
        side = results["bbox_scale"].max(axis=-1, keepdims=True)
        results["bbox_center"] = (results["bbox_center"] + shift * side).astype(np.float32)
        results["bbox_scale"] = (results["bbox_scale"] * factor).astype(np.float32)
        results["bbox_rotation"] = np.array([rotation], dtype=np.float32)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(shift={self.shift}, scale={self.scale}, rotation_deg={self.rotation_deg}, "
            f"rotation_prob={self.rotation_prob})"
        )


@TRANSFORMS.register_module()
class RandomColorScale(BaseTransform):
    """Multiply each colour channel by its own random gain and clip to 0..255; the image keeps its type.

    Args:
        low: Smallest gain.
        high: Largest gain.

    Raises:
        ValueError: The range is empty or negative.
    """

    def __init__(self, low: float = 0.8, high: float = 1.2) -> None:
        if not 0 <= low <= high:
            raise ValueError(f"low, high: expected 0 <= low <= high, got {low} and {high}")
        self.low, self.high = low, high

    @cache_randomness
    def _draw(self, channels: int) -> NDArray[np.float64]:
        """Draw the gains (channels,)."""
        return np.random.uniform(self.low, self.high, channels)  # noqa: NPY002, mmengine seeds numpy's global generator

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img` (H, W, C)."""
        img = results["img"]
        gains = self._draw(img.shape[-1])
        if img.dtype == np.uint8:  # 256 values a channel: look them up
            table = np.clip(np.arange(256)[None, :, None] * gains, 0, 255).round().astype(np.uint8)
            results["img"] = cv2.LUT(img, table).reshape(img.shape)
        else:
            bright = np.clip(img * gains, 0, 255)
            results["img"] = (bright.round() if np.issubdtype(img.dtype, np.integer) else bright).astype(img.dtype)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(low={self.low}, high={self.high})"


@TRANSFORMS.register_module()
class MaskBlankImage(BaseTransform):
    """Mark all joints invalid where the image is black: InterHand2.6M has blank images with annotations.

    For training, after the crop; A2J-Transformer does so where the sum over an image in 0..1 is below 1e-4.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set `keypoints_visible` to 0 where the sum over `img` (0..255) is below 255e-4."""
        img, limit = results["img"], 255e-4
        if img.max() < limit and img.sum(dtype=np.float64) < limit:  # nearly always the first, quick question decides
            results["keypoints_visible"] = np.zeros_like(results["keypoints_visible"])
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
