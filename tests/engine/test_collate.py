"""A batch that has travelled from a worker is what mmengine's `pseudo_collate` makes of the same samples."""

import numpy as np
import pytest
import torch

pytest.importorskip("mmpose")

from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from torch.utils.data import DataLoader

from dfmamba.engine.collate import one_piece_collate
from dfmamba.engine.runner import ReproducibleRunner

NUMBER = 3


def make_sample(number, size=(4, 5)):
    """Return a sample such as PackPoseInputs makes."""
    labels = InstanceData(
        keypoint_labels=torch.full((1, 2, 3), number + 0.5),
        rows=torch.arange(12, dtype=torch.float64).reshape(1, 3, 4)[..., ::2] + number,  # not contiguous
        half=torch.tensor([[number, 0.25]], dtype=torch.bfloat16),
    )
    sample = PoseDataSample(metainfo={"img_id": number, "rotation": np.float32(30), "name": f"picture {number}"})
    sample.gt_instance_labels = labels
    sample.gt_instances = InstanceData(bboxes=np.full((1, 4), number, dtype=np.float32))
    return {"inputs": torch.full((3, *size), number, dtype=torch.uint8), "data_samples": sample}


def travel(samples):
    """Return the one batch that a worker sends."""
    loader = DataLoader(
        samples, len(samples), num_workers=1, collate_fn=one_piece_collate, multiprocessing_context="fork"
    )
    (batch,) = loader
    return batch


def assert_same(batch, expected):
    """Compare containers, types and values."""
    assert type(batch) is type(expected)
    if isinstance(expected, dict):
        assert list(batch) == list(expected)
        for key in expected:
            assert_same(batch[key], expected[key])
    elif isinstance(expected, list):
        assert len(batch) == len(expected)
        for ours, theirs in zip(batch, expected, strict=True):
            assert_same(ours, theirs)
    elif isinstance(expected, torch.Tensor):
        assert (batch.dtype, batch.device) == (expected.dtype, expected.device)
        assert torch.equal(batch, expected)
    elif isinstance(expected, PoseDataSample | InstanceData):
        assert set(batch.all_keys()) == set(expected.all_keys())
        assert set(batch.metainfo_keys()) == set(expected.metainfo_keys())
        for key, value in expected.all_items():
            assert_same(batch.get(key), value)
    else:
        np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("sizes", [[(4, 5)] * NUMBER, [(4, 5), (6, 2), (4, 5)]], ids=["one size", "several sizes"])
def test_a_batch_arrives_as_mmengine_makes_it(sizes):
    samples = [make_sample(number, size) for number, size in enumerate(sizes)]
    batch = travel(samples)
    assert_same(batch, pseudo_collate(samples))
    batch["data_samples"][0].gt_instance_labels.keypoint_labels += 1  # a loss may write into its labels
    batch["inputs"][0] += 1


def test_samples_that_are_no_dictionaries_arrive_too():
    samples = [(number, torch.full((2,), number)) for number in range(NUMBER)]
    assert_same(travel(samples), pseudo_collate(samples))


def test_without_a_worker_nothing_is_packed():
    samples = [make_sample(number) for number in range(NUMBER)]
    (batch,) = DataLoader(samples, NUMBER, collate_fn=one_piece_collate)
    assert batch["data_samples"][1] is samples[1]["data_samples"]


def test_images_alone_travel_through_shared_memory():
    """What torch sends by a descriptor of its own lies in shared memory on arrival."""
    batch = travel([make_sample(number) for number in range(NUMBER)])
    assert all(image.is_shared() for image in batch["inputs"])
    assert len({image.untyped_storage().data_ptr() for image in batch["inputs"]}) == 1
    labels = batch["data_samples"][0].gt_instance_labels
    assert not labels.keypoint_labels.is_shared()
    assert not labels.rows.is_shared()


def test_a_spawned_worker_sends_the_same():
    samples = [make_sample(number) for number in range(2)]
    loader = DataLoader(samples, 2, num_workers=1, collate_fn=one_piece_collate, multiprocessing_context="spawn")
    (batch,) = loader
    assert_same(batch, pseudo_collate(samples))


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "one_piece"), ({"collate_fn": {"type": "pseudo_collate"}}, "pseudo")]
)
def test_every_loader_of_a_training_has_it_unless_the_config_says_otherwise(settings, name):
    dataset = [make_sample(number) for number in range(NUMBER)]
    sampler = {"type": "DefaultSampler", "shuffle": False}
    loader = ReproducibleRunner.build_dataloader({"dataset": dataset, "batch_size": 1, "sampler": sampler, **settings})
    assert loader.collate_fn.func.__name__ == f"{name}_collate"
