"""A look at the data before the training: what is wrong with them is found in the first second, not after a day."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from dfmamba.datasets.base import HandDataset
from dfmamba.engine.errors import BatchError
from dfmamba.engine.inner_datasets import inner_datasets


@HOOKS.register_module()
class FirstBatchCheckHook(Hook):
    """Check the first training batch and log its summary once: images, share of joints that count, value ranges.

    Before that, the images of the validation are looked at: all are there, and some are opened.

    Looks into each data sample's `gt_instance_labels` and `gt_fields` (what the codec's `encode` made), and into
    `gt_instances.keypoints_cam` (mm) with `keypoints_visible`.
    """

    def __init__(self) -> None:
        self._done = False

    def before_train(self, runner) -> None:
        """Look at the images of the validation, which a training otherwise meets after its first epoch.

        Raises:
            FileNotFoundError: One is missing; the message counts how many are.
            ImageError: One cannot be used.
        """
        if runner.val_loop is not None:
            for dataset in inner_datasets(runner.val_dataloader.dataset):
                if isinstance(dataset, HandDataset):
                    dataset.check_images_present()

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check the first batch of this run.

        Raises:
            BatchError: The weights of all joints are zero, or a target is NaN or infinite.
        """
        if self._done:
            return
        self._done = True
        samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
        if not isinstance(samples, Sequence) or not samples:
            runner.logger.info("first batch: no data samples in it, nothing to check")
            return
        lines = [f"first batch: {len(samples)} samples", *_describe_inputs(data_batch.get("inputs"))]
        targets = _stack_targets(samples)
        _refuse_non_finite(targets, samples)
        lines += _check_weights(targets, samples)
        lines += [f"{name}: {_range(values)}" for name, values in targets.items() if not name.endswith("weights")]
        lines += _describe_camera_joints(samples)
        runner.logger.info("\n  ".join(lines))


def _describe_inputs(inputs: Any) -> list[str]:
    images = list(inputs) if isinstance(inputs, torch.Tensor | list | tuple) else []
    if not images or not isinstance(images[0], torch.Tensor):
        return []
    values = np.concatenate([image.detach().cpu().numpy().ravel() for image in images])
    size = "x".join(str(n) for n in images[0].shape)
    return [f"images ({size}, {images[0].dtype}): {_range(values)}, mean {values.mean():.4g}"]


def _named_arrays(sample: Any) -> Iterator[tuple[str, np.ndarray]]:
    for part in ("gt_instance_labels", "gt_fields"):
        for name, value in getattr(sample, part, {}).items():
            if isinstance(value, torch.Tensor | np.ndarray):
                yield name, torch.as_tensor(value).detach().cpu().numpy()


def _stack_targets(samples: Sequence[Any]) -> dict[str, np.ndarray]:
    """Return every target of the batch, flattened: name -> values."""
    collected: dict[str, list[np.ndarray]] = {}
    for sample in samples:
        for name, array in _named_arrays(sample):
            collected.setdefault(name, []).append(array.ravel())
    return {name: np.concatenate(arrays) for name, arrays in collected.items()}


def _refuse_non_finite(targets: dict[str, np.ndarray], samples: Sequence[Any]) -> None:
    for name, values in targets.items():
        if np.isfinite(values).all():
            continue
        bad = [
            _name(sample)
            for sample in samples
            if any(key == name and not np.isfinite(array).all() for key, array in _named_arrays(sample))
        ]
        raise BatchError(
            f"first batch: the target '{name}' has {np.count_nonzero(~np.isfinite(values))} of "
            f"{values.size} values that are NaN or infinite; the samples are: {', '.join(bad[:3])}. "
            "Look at the annotations and at the codec's encode."
        )


def _check_weights(targets: dict[str, np.ndarray], samples: Sequence[Any]) -> list[str]:
    lines = []
    for name, weights in targets.items():
        if not name.endswith("weights"):
            continue
        share = np.count_nonzero(weights) / max(weights.size, 1)
        lines.append(f"{name}: {share:.1%} of {weights.size} are not zero")
        if name == "keypoint_weights" and share == 0:
            names = ", ".join(_name(sample) for sample in samples[:3])
            raise BatchError(
                f"first batch: all {weights.size} entries of 'keypoint_weights' are zero, no joint would "
                f"be learnt; the samples are: {names}. Look at the validity marks in the annotations, at "
                "the unit (mm) and depth range of the codec, and at the crop."
            )
    return lines


def _describe_camera_joints(samples: Sequence[Any]) -> list[str]:
    joints, valid = [], []
    for sample in samples:
        instances = getattr(sample, "gt_instances", {})
        if "keypoints_cam" in instances and "keypoints_visible" in instances:
            points = np.asarray(instances["keypoints_cam"]).reshape(-1, 3)
            joints.append(points)
            valid.append(np.asarray(instances["keypoints_visible"]).reshape(len(points), -1)[:, 0] > 0)
    if not joints:
        return []
    points, mask = np.concatenate(joints), np.concatenate(valid)
    axes = [f"{axis} {_range(points[mask, i])}" for i, axis in enumerate("xyz")] if mask.any() else []
    return [f"valid joints: {mask.mean():.1%} of {mask.size}", f"camera space, mm: {', '.join(axes) or 'none'}"]


def _range(values: np.ndarray) -> str:
    return f"{values.min():.4g} to {values.max():.4g}" if values.size else "empty"


def _name(sample: Any) -> str:
    for key in ("img_path", "img_id", "id"):
        if key in sample.metainfo:
            return str(sample.metainfo[key])
    return "(without a name)"
