"""Samples as the data pipeline would pack them."""

import numpy as np
import pytest


@pytest.fixture
def make_samples():
    """Return a function that makes samples with random joints inside the crop; z is in depth bins of 1.5625 mm."""
    import torch
    from mmengine.structures import InstanceData
    from mmpose.structures import PoseDataSample

    def make(batch, num_joints=3, input_size=(64, 64), weight=1.0):
        rng = np.random.default_rng(0)
        samples = []
        for _ in range(batch):
            sample = PoseDataSample()
            labels = rng.uniform(0, (*input_size, 256), (1, num_joints, 3)).astype(np.float32)
            sample.gt_instance_labels = InstanceData(
                keypoint_labels=torch.from_numpy(labels),
                keypoint_weights=torch.full((1, num_joints), weight),
            )
            sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
            sample.set_metainfo(
                {
                    "input_size": input_size,
                    "input_center": np.array([100.0, 200.0]),
                    "input_scale": np.array([128.0, 128.0]),
                    "flip_indices": list(range(num_joints))[::-1],
                }
            )
            samples.append(sample)
        return samples

    return make
