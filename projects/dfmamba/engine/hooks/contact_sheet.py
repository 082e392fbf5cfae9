"""Overlays of some test samples on one sheet: prediction coloured by finger, ground truth in black."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from numpy.typing import NDArray

from dfmamba.datasets.sample import lift
from dfmamba.engine.report import is_synthetic
from dfmamba.evaluation.functional import joint_errors, root_align
from dfmamba.hand_boxes import SURE, boxes_of_hands
from dfmamba.skeleton import SIDES, Skeleton, skeleton_with
from dfmamba.visualization.colors import FINGER_COLORS, GT_COLOR, SIDE_COLORS
from dfmamba.visualization.contact_sheet import make_contact_sheet, save_image
from dfmamba.visualization.overlay import draw_boxes, draw_gt, draw_skeleton, to_rgb


@HOOKS.register_module()
class ContactSheetHook(Hook):
    """Write `contact_sheet.png` in the work folder after a test: network input, prediction, ground truth.

    Shown are `num_samples` samples, spread evenly over the test set, each as the crop that went into the network, with
    the joints that are annotated. The caption has the image and the mean root-relative error over its joints in mm. A
    finder of hands has boxes in their place, and its scores.

    Args:
        num_samples: Number of tiles; 0 draws nothing.
        filename: Name of the picture in the work folder.
        tile_px: Side of a tile.
        bgr: Whether the pipeline's images are BGR, as OpenCV loads them.
        title: Line above the sheet.
    """

    def __init__(
        self,
        num_samples: int = 16,
        filename: str = "contact_sheet.png",
        tile_px: int = 320,
        bgr: bool = True,
        title: str = "",
    ):
        self.num_samples = num_samples
        self.filename = filename
        self.tile_px = tile_px
        self.bgr = bgr
        self.title = title

    def before_test_epoch(self, runner) -> None:
        """Choose the samples."""
        total = len(runner.test_dataloader.sampler)
        self._wanted = set(np.linspace(0, total - 1, min(self.num_samples, total)).round().astype(int).tolist())
        self._seen = 0
        self._tiles: list[NDArray[np.uint8]] = []
        self._captions: list[str] = []

    def after_test_iter(self, runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw the chosen samples of one batch."""
        if not is_main_process():
            return
        for image, sample in zip(data_batch["inputs"], outputs, strict=True):
            if self._seen in self._wanted:
                is_of_joints = "keypoints" in sample.pred_instances
                self._colors = FINGER_COLORS if is_of_joints else SIDE_COLORS
                draw = draw_sample if is_of_joints else draw_found_hands
                tile, caption = draw(image, sample, self.tile_px, self.bgr)
                self._tiles.append(tile)
                self._captions.append(caption)
            self._seen += 1

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write the sheet."""
        if self._tiles and is_main_process():
            path = Path(runner.work_dir) / self.filename
            title = ("SYNTHETIC data; " if is_synthetic(runner.test_dataloader.dataset) else "") + self.title
            save_image(path, make_contact_sheet(self._tiles, self._captions, title, colors=self._colors))
            runner.logger.info(f"contact sheet of {len(self._tiles)} samples: {path}")


def draw_sample(image: torch.Tensor, sample: Any, tile_px: int, bgr: bool = True) -> tuple[NDArray[np.uint8], str]:
    """Draw one sample's prediction and ground truth on its network input.

    Args:
        image: (C, H, W) network input, C is 3 or 1.
        sample: Data sample with `pred_instances.keypoints` (1, J, 2 or 3), `gt_instances.keypoints` and
            `.keypoints_visible`, in px of the original image, and `input_center`, `input_scale`, `input_size`. Where
            the meta key `mirrored` is true, the network saw the image mirrored, and the tile is mirrored back.
        tile_px: Side of the tile.
        bgr: Whether the image is BGR.

    Returns:
        The tile (tile_px, tile_px, 3) RGB and its caption.
    """
    predicted = _numpy(sample.pred_instances.keypoints)[0]
    gt = _numpy(sample.gt_instances.keypoints)[0]
    valid = _numpy(sample.gt_instances.keypoints_visible).reshape(len(gt), -1)[:, 0] > 0
    skeleton = skeleton_with(len(gt))
    if sample.metainfo.get("mirrored", False):
        image = image.flip(-1)
    picture = to_rgb(_numpy(image).transpose(1, 2, 0), bgr)
    enlarged = cv2.resize(picture, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    # The ground truth first and broader: where both coincide it stays visible as a black rim around the prediction.
    tile = draw_gt(enlarged, _to_tile(gt[:, :2], sample, tile_px), valid, skeleton)
    predicted_px = _to_tile(predicted[:, :2], sample, tile_px)
    tile = draw_skeleton(tile, predicted_px, valid, skeleton, outline=None, thickness=2, radius=3)
    error_mm = root_relative_error_mm(sample, predicted, valid, skeleton)
    return tile, f"{_name(sample)}\n" + (f"{error_mm:.1f} mm" if error_mm is not None else "no error in mm")


def draw_found_hands(image: torch.Tensor, sample: Any, tile_px: int, bgr: bool = True) -> tuple[NDArray[np.uint8], str]:
    """Draw the boxes that a finder is sure of, coloured by side, and the true ones, in black, on its network input.

    Args:
        image: See `draw_sample`.
        sample: Data sample with `pred_instances.bboxes`, `.bbox_scores` and `.labels`, as `HandFinderEstimator` gives
            them; otherwise see `draw_sample`. The meta keys have `hand_type` and `ori_shape`, too.
        tile_px: See `draw_sample`.
        bgr: See `draw_sample`.

    Returns:
        The tile (tile_px, tile_px, 3) RGB and its caption.
    """
    found, info = sample.pred_instances, sample.metainfo
    height, width = info["ori_shape"]
    gt, valid = (_numpy(sample.gt_instances[name])[0] for name in ("keypoints", "keypoints_visible"))
    true = boxes_of_hands(gt, valid, info["hand_type"], (width, height))
    picture = to_rgb(_numpy(image).transpose(1, 2, 0), bgr)
    tile = cv2.resize(picture, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    scores = _numpy(found.bbox_scores)
    is_sure = scores >= SURE
    sides = [SIDES[label] for label in _numpy(found.labels)[is_sure].tolist()]
    there = true.corners[true.is_there]
    tile = draw_boxes(tile, _boxes_to_tile(there, sample, tile_px), [GT_COLOR] * len(there), 3)
    colors = [SIDE_COLORS[side] for side in sides]
    tile = draw_boxes(tile, _boxes_to_tile(_numpy(found.bboxes)[is_sure], sample, tile_px), colors, 2)
    said = [f"{side} {score:.2f}" for side, score in zip(sides, scores[is_sure], strict=True)]
    return tile, f"{_name(sample)}\n{', '.join(said) or 'nothing found'}"


def root_relative_error_mm(sample: Any, predicted: NDArray, valid: NDArray, skeleton: Skeleton) -> float | None:
    """Return the mean distance of a sample's valid joints after the roots were laid upon each other, in mm.

    The prediction is `keypoints_cam`, or where there is none `keypoints`, lifted with the true depth of the root. None
    where the sample lacks `keypoints_cam`, `abs_depth`, `focal` or `principal_pt`, or has no valid joint; and for NYU,
    whose joints have no root.
    """
    if not skeleton.roots or "keypoints_cam" not in sample.gt_instances or not valid.any():
        return None
    joints = _predicted_in_space(sample, predicted)
    if joints is None:
        return None
    gt, roots = _numpy(sample.gt_instances.keypoints_cam)[0], skeleton.root_of_joint
    return float(joint_errors(root_align(joints, roots), root_align(gt, roots))[valid].mean())


def _predicted_in_space(sample: Any, predicted: NDArray) -> NDArray | None:
    """Return the predicted joints in camera space, (J, 3) in mm; None where they cannot be known."""
    if "keypoints_cam" in sample.pred_instances:
        return _numpy(sample.pred_instances.keypoints_cam)[0]
    info = sample.metainfo
    if predicted.shape[1] < 3 or not all(key in info for key in ("abs_depth", "focal", "principal_pt")):
        return None
    return lift(predicted, info["abs_depth"], info["focal"], info["principal_pt"])


def _name(sample: Any) -> str:
    """Return recording/folder/file of a sample, as far as they are known."""
    path = Path(str(sample.metainfo.get("img_path", "")))
    recording = sample.metainfo.get("seq_name", "")
    parts = [recording] if recording and recording != path.parent.name else []
    return "/".join([*parts, path.parent.name, path.name]) if path.name else str(sample.metainfo.get("id", ""))


def _to_tile(points_px: NDArray, sample: Any, tile_px: int) -> NDArray:
    """Take px of the original image to px of the tile: the inverse of what mmpose does with a prediction."""
    info = sample.metainfo
    center, scale = (np.asarray(info[key]).reshape(-1)[:2] for key in ("input_center", "input_scale"))
    return ((points_px - center) / scale + 0.5) * tile_px


def _boxes_to_tile(corners_px: NDArray, sample: Any, tile_px: int) -> NDArray:
    return _to_tile(corners_px.reshape(-1, 2, 2), sample, tile_px).reshape(-1, 4)


def _numpy(values: Any) -> NDArray:
    return torch.as_tensor(values).detach().cpu().numpy()
