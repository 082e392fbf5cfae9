"""Augmentations that make pictures as different as cameras and scenes do; for training only."""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from dfmamba.camera_effects import apply_effects, sample_effects


class _RandomTransform(BaseTransform):
    """A transform that draws from a generator of its own."""

    @cache_randomness
    def _seed(self) -> int:
        """Draw a seed from numpy's global generator, which mmengine seeds in every worker."""
        return int(np.random.randint(2**31))  # noqa: NPY002

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self._seed())


def _check_share(name: str, value: float, kind: str = "a probability") -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected {kind} from 0 to 1, got {value}")


@TRANSFORMS.register_module()
class RandomCameraEffects(_RandomTransform):
    """Change light, colour, sharpness, noise and compression as cameras do (`dfmamba.camera_effects`).

    Best after the crop, which is smaller than the picture. Changed: img, (H, W, 3) uint8, BGR.

    Args:
        prob: Probability that anything is changed.
        strength: 0 to 1, how far the effects go.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, prob: float = 0.8, strength: float = 1.0) -> None:
        _check_share("prob", prob)
        _check_share("strength", strength, "a number")
        self.prob, self.strength = prob, strength

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the image or leave it."""
        rng = self._generator()
        if rng.random() < self.prob:
            image = results["img"]
            results["img"] = apply_effects(image, sample_effects(image.shape[:2], rng, self.strength), rng)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, strength={self.strength})"


@TRANSFORMS.register_module()
class RandomOccluders(_RandomTransform):
    """Cover parts of the crop with up to three boxes, discs or bars in plain or noisy colours; joints stay as they are.

    A hidden joint is still to be found: its place follows from the others. Changed: img, (H, W, 3) uint8.

    Args:
        prob: Probability that anything is covered.
        largest: Longest side of a cover as a part of the crop's side.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, prob: float = 0.3, largest: float = 0.4) -> None:
        _check_share("prob", prob)
        _check_share("largest", largest, "a number")
        self.prob, self.largest = prob, largest

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cover something or nothing."""
        rng = self._generator()
        if rng.random() >= self.prob:
            return results
        image = results["img"].copy()
        height, width = image.shape[:2]
        for _ in range(int(rng.integers(1, 4))):
            mask: np.ndarray = np.zeros((height, width), dtype=np.uint8)
            center = rng.uniform(0, 1, 2) * (width, height)
            extent = np.maximum(rng.uniform(0.05, self.largest, 2) * min(height, width), 1)
            turn = float(rng.uniform(0, 180))
            if rng.random() < 0.6:
                corners = cv2.boxPoints((center.tolist(), extent.tolist(), turn))
                cv2.fillConvexPoly(mask, corners.astype(np.int32), 1)
            else:
                axes = np.maximum(extent / 2, 1).astype(int).tolist()
                cv2.ellipse(mask, center.astype(int).tolist(), axes, turn, 0, 360, 1, -1)
            covered = mask.astype(bool)
            colour = rng.uniform(0, 255, 3) + rng.uniform(0, 40) * rng.standard_normal((covered.sum(), 3))
            image[covered] = np.clip(colour, 0, 255).astype(np.uint8)
        results["img"] = image
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, largest={self.largest})"


@TRANSFORMS.register_module()
class WholeImageBox(BaseTransform):
    """Put the whole image in the place of the hands' box: for models that find hands.

    Required key: img, before the crop. Changed: bbox (1, 4), corners in px.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the box."""
        height, width = results["img"].shape[:2]
        results["bbox"] = np.array([[0, 0, width, height]], dtype=np.float32)
        return results


@TRANSFORMS.register_module()
class RandomImageBox(_RandomTransform):
    """Put another box in the place of the hands': the whole image, or a place without a joint.

    So a model that looks at whole pictures learns to find hands anywhere in them, and that there may be none: in a
    place without a joint no joint is valid, and `hand_type` says that no hand is there. Where none of a few places is
    free, the sample stays as it is. A sample knows its own hands only: where pictures show hands of other samples, or
    that nobody annotated, set `empty=0`, or these are learnt as no hands.

    Required keys: img, bbox (1, 4) corners in px around all known joints, keypoints_visible (1, J), hand_type (1, 2).
    Changed: bbox, and for a place without a joint also keypoints_visible and hand_type.

    Args:
        whole: Probability of the whole image.
        empty: Probability of a place without a joint.

    Raises:
        ValueError: An argument is out of its range, or the crop has been made already.
    """

    def __init__(self, whole: float = 0.1, empty: float = 0.05) -> None:
        _check_share("whole", whole)
        _check_share("empty", empty)
        _check_share("whole + empty", whole + empty)
        self.whole, self.empty = whole, empty

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the box or leave it."""
        if "bbox_center" in results:
            raise ValueError("RandomImageBox: expected a place before GetBBoxCenterScale, got one after it")
        rng = self._generator()
        chance = rng.random()
        if chance < self.whole:
            return WholeImageBox().transform(results)
        if chance < self.whole + self.empty:
            box = self._free_box(results, rng)
            if box is not None:
                results["bbox"] = box[None].astype(results["bbox"].dtype)
                results["keypoints_visible"] = np.zeros_like(results["keypoints_visible"])
                results["hand_type"] = np.zeros_like(results["hand_type"])
        return results

    @staticmethod
    def _free_box(results: dict[str, Any], rng: np.random.Generator) -> np.ndarray | None:
        """Return the corners (4,) of a square that no joint, known or not, may be in; None if none was found."""
        height, width = results["img"].shape[:2]
        taken = results["bbox"][0]
        for _ in range(10):
            side = rng.uniform(0.15, 0.6) * min(height, width)
            low = rng.uniform(0, 1, 2) * (np.array([width, height]) - side)
            box = np.concatenate([low, low + side])
            # Boxes grow later on; a quarter of the side around it stays free, too.
            margin = 0.25 * side
            if (box[:2] - margin >= taken[2:]).any() or (box[2:] + margin <= taken[:2]).any():
                return box
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(whole={self.whole}, empty={self.empty})"
