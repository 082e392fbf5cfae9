"""Augmentations that make pictures as different as cameras and scenes do."""

import copy

import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmpose.datasets.transforms import GetBBoxCenterScale

from dfmamba.datasets import InterHand26MDataset
from dfmamba.datasets.transforms import RandomCameraEffects, RandomHandFlip, RandomImageBox, RandomOccluders

TRANSFORMS = (RandomCameraEffects, RandomOccluders, RandomImageBox)


@pytest.fixture
def sample():
    """A picture of 100x80 px with a hand at the lower right."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform([60, 50], [90, 75], (1, 42, 2)).astype(np.float32)
    return {
        "img": rng.integers(0, 256, (80, 100, 3), dtype=np.uint8),
        "bbox": np.array([[55, 45, 95, 79]], dtype=np.float32),
        "keypoints": keypoints,
        "keypoints_visible": np.ones((1, 42), dtype=np.float32),
        "hand_type": np.array([[1, 0]], dtype=np.float32),
    }


@pytest.mark.parametrize("transform", [RandomCameraEffects(1.0), RandomOccluders(1.0), RandomImageBox(0.5, 0.5)])
def test_input_arrays_are_not_written_to(sample, transform):
    before = copy.deepcopy(sample)
    arrays = dict(sample)
    for _ in range(10):
        transform(dict(arrays))
    for key, value in before.items():
        np.testing.assert_array_equal(arrays[key], value)


@pytest.mark.parametrize("transform", [RandomCameraEffects(0.0), RandomOccluders(0.0), RandomImageBox(0.0, 0.0)])
def test_probability_0_leaves_the_sample(sample, transform):
    before = copy.deepcopy(sample)
    for _ in range(20):
        result = transform(dict(sample))
        for key, value in before.items():
            np.testing.assert_array_equal(result[key], value)


@pytest.mark.parametrize("transform", [RandomCameraEffects(1.0), RandomOccluders(1.0), RandomImageBox(0.5, 0.5)])
def test_what_is_drawn_follows_numpys_seed_and_can_be_cached(sample, transform):
    results = []
    for seed in (3, 3, 4, 5, 6, 7):
        np.random.seed(seed)  # noqa: NPY002
        results.append(transform(copy.deepcopy(sample)))
    differs = [any((results[0][key] != result[key]).any() for key in sample) for result in results[1:]]
    assert not differs[0]
    assert any(differs)
    with cache_random_params([transform]):
        once, again = (transform(copy.deepcopy(sample)) for _ in range(2))
    for key in sample:
        np.testing.assert_array_equal(once[key], again[key])


def test_covers_hide_a_part_of_the_picture_and_no_joint(sample):
    shares = []
    for _ in range(60):
        result = RandomOccluders(prob=1.0, largest=0.4)(dict(sample))
        changed = (result["img"] != sample["img"]).any(axis=-1)
        shares.append(changed.mean())
        assert result["keypoints_visible"].all()
    # At most three of at most 0.4 x 0.4 of the shorter side's square.
    assert max(shares) < 3 * 0.16 * 80 / 100 + 0.02
    assert 0.02 < np.mean(shares) < 0.2


def test_the_whole_image_is_a_box(sample):
    result = RandomImageBox(whole=1.0, empty=0.0)(dict(sample))
    assert result["bbox"].tolist() == [[0, 0, 100, 80]]
    assert result["keypoints_visible"].all()
    assert result["hand_type"].tolist() == [[1, 0]]


def test_an_empty_place_has_no_joint_in_it_even_enlarged(sample):
    transform, found = RandomImageBox(whole=0.0, empty=1.0), 0
    for _ in range(60):
        result = transform(dict(sample))
        if (result["bbox"] == sample["bbox"]).all():
            continue
        found += 1
        x0, y0, x1, y1 = result["bbox"][0]
        assert 0 <= x0 < x1 <= 100
        assert 0 <= y0 < y1 <= 80
        grown = GetBBoxCenterScale(padding=1.25)(dict(result))
        low, high = (grown["bbox_center"][0] + sign * grown["bbox_scale"][0] / 2 for sign in (-1, 1))
        inside = ((sample["keypoints"][0] > low) & (sample["keypoints"][0] < high)).all(axis=1)
        assert not inside.any()
        assert not result["keypoints_visible"].any()
        assert not result["hand_type"].any()
    assert found > 20


def test_a_hand_that_fills_the_picture_leaves_no_empty_place(sample):
    sample["bbox"] = np.array([[0, 0, 99, 79]], dtype=np.float32)
    result = RandomImageBox(whole=0.0, empty=1.0)(dict(sample))
    assert result["bbox"].tolist() == [[0, 0, 99, 79]]
    assert result["hand_type"].tolist() == [[1, 0]]


def test_the_box_comes_before_the_crop(sample):
    with pytest.raises(ValueError, match="RandomImageBox: expected a place before GetBBoxCenterScale"):
        RandomImageBox(1.0, 0.0)(GetBBoxCenterScale()(sample))


def test_a_real_pipeline_takes_them(interhand_root):
    """After the flip and on the adapter's own samples."""
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), pipeline=[{"type": "mmpose.LoadImage"}])
    for transform in (RandomHandFlip(1.0), RandomImageBox(0.0, 1.0), RandomOccluders(1.0), RandomCameraEffects(1.0)):
        assert transform(dataset[0])["img"].dtype == np.uint8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCameraEffects(prob=1.5), "prob: expected a probability from 0 to 1, got 1.5"),
        (lambda: RandomCameraEffects(strength=-1), "strength: expected a number from 0 to 1, got -1"),
        (lambda: RandomOccluders(largest=2), "largest: expected a number from 0 to 1, got 2"),
        (lambda: RandomImageBox(whole=0.7, empty=0.7), "whole . empty: expected a probability from 0 to 1, got 1.4"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_repr_builds_the_transform_again(transform):
    assert vars(eval(repr(transform()))) == vars(transform())
