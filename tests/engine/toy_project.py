"""A tiny project for mmengine's Runner: random pictures with hands, a linear model, a metric. Trains in a second."""

import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch.utils.data import Dataset

NUM_JOINTS = 21
SIZE = 64


@DATASETS.register_module()
class ToyHands(Dataset):
    """Random crops with 21 joints; `fault` is 'zero_weights' or 'nan_target'; `noise` draws from every generator."""

    def __init__(self, num_samples: int = 8, fault: str = "", noise: float = 0.0):
        self.num_samples, self.fault, self.noise = num_samples, fault, noise
        self.metainfo = {"sigmas": np.ones(NUM_JOINTS)}

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng(index)
        points = rng.uniform((8, 8, -40), (56, 56, 40), (1, NUM_JOINTS, 3)).astype(np.float32)
        points[:, -1, 2] = 0
        info = {
            "id": index,
            "img_path": f"/toy/seq{index % 2}/image{index}.jpg",
            "abs_depth": np.array([800.0, 0]),
            "focal": np.array([500.0, 500]),
            "principal_pt": np.array([32.0, 32]),
            "input_center": np.array([32.0, 32]),
            "input_scale": np.array([64.0, 64]),
            "input_size": (SIZE, SIZE),
        }
        camera = points.copy()
        camera[..., 2] += 800
        camera[..., :2] = (points[..., :2] - 32) / 500 * camera[..., 2:]
        weights = np.zeros((1, NUM_JOINTS)) if self.fault == "zero_weights" else np.ones((1, NUM_JOINTS))
        labels = np.full_like(points, np.nan) if self.fault == "nan_target" else points
        sample = PoseDataSample(metainfo=info)
        sample.gt_instances = InstanceData(
            keypoints=points, keypoints_cam=camera, keypoints_visible=np.ones((1, NUM_JOINTS))
        )
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.from_numpy(labels), keypoint_weights=torch.from_numpy(weights)
        )
        image = torch.from_numpy(rng.integers(0, 255, (3, SIZE, SIZE)).astype(np.uint8))
        if self.noise:
            image = image * (1 - self.noise * random.random() * np.random.rand() * torch.rand(1))  # noqa: NPY002
        return {"inputs": image, "data_samples": sample}


@MODELS.register_module()
class ToyModel(BaseModel):
    """One linear layer from an 8x8 picture to the joints."""

    def __init__(self, width: int = 8, dropout: float = 0.0, data_preprocessor: dict | None = None):
        super().__init__(data_preprocessor)
        self.width = width
        self.dropout = torch.nn.Dropout(dropout)
        self.layer = torch.nn.Linear(3 * width * width, NUM_JOINTS * 3)

    def forward(self, inputs, data_samples, mode="tensor"):
        images = torch.nn.functional.adaptive_avg_pool2d(torch.stack(list(inputs)).float() / 255, self.width)
        points = self.layer(self.dropout(images.flatten(1))).view(-1, NUM_JOINTS, 3) * 32
        if mode == "loss":
            labels = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in data_samples])
            error = (points - labels).abs()
            return {"loss_xy": error[..., :2].mean(), "loss_z": error[..., 2].mean()}
        for sample, joints in zip(data_samples, points, strict=True):
            sample.pred_instances = InstanceData(keypoints=joints[None].detach().numpy())
        return data_samples


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean distance to the ground truth in the picture."""

    default_prefix = "toy"

    def process(self, data_batch, data_samples) -> None:
        for sample in data_samples:
            difference = sample["pred_instances"]["keypoints"] - sample["gt_instances"]["keypoints"]
            self.results.append(float(np.linalg.norm(difference[..., :2], axis=-1).mean()))

    def compute_metrics(self, results: list) -> dict:
        return {"error_px": float(np.mean(results))}
