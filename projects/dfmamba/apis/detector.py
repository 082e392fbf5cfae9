"""A hand detector of mmdet as the `boxes` of `HandPoseInferencer`."""

import os
from typing import Any

import numpy as np
from mmdet.apis import inference_detector, init_detector
from numpy.typing import NDArray

from dfmamba.apis.hand_model import Array
from dfmamba.engine.checkpoint_file import require_checkpoint
from dfmamba.engine.config import load_config


class MmdetDetector:
    """Finds boxes of hands: `HandPoseInferencer(...)(pictures, boxes=MmdetDetector(config, checkpoint))`.

    Args:
        config: A config file of mmdet.
        checkpoint: Its weights; None leaves random ones, for tests alone.
        category: Number of the category that is a hand.
        min_score: Boxes with a lower score are left out.
        device: As for torch.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: The config is wrong.
    """

    def __init__(
        self,
        config: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None,
        *,
        category: int = 0,
        min_score: float = 0.3,
        device: str = "cpu",
    ) -> None:
        weights = None if checkpoint is None else str(require_checkpoint(os.fspath(checkpoint)))
        self.model: Any = init_detector(load_config(config), weights, palette="none", device=device)
        self.category, self.min_score = category, min_score

    def __call__(self, pixels: NDArray[np.uint8]) -> Array:
        """Return boxes (N, 5), x0, y0, x1, y1 in px and a score, of a picture (H, W, 3) BGR; the surest first."""
        found = inference_detector(self.model, pixels).pred_instances.cpu().numpy()
        kept = (found.labels == self.category) & (found.scores >= self.min_score)
        boxes = np.column_stack([found.bboxes[kept], found.scores[kept]]).astype(np.float32)
        inside = (boxes[:, 2:4] - boxes[:, :2] >= 1).all(axis=1)  # detectors give boxes of less than a pixel, too
        return boxes[inside][np.argsort(-boxes[inside, 4], kind="stable")]
