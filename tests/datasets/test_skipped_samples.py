"""What is left out while loading is counted: over workers, copies and wrappers, each sample once."""

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from test_base import Toy, load
from torch.utils.data import DataLoader

from dfmamba.datasets import skipped_samples
from dfmamba.datasets.skipped_samples import (
    IMAGE_DAMAGED,
    IMAGE_MISSING,
    IMAGE_SIZE,
    PIPELINE,
    SkippedSamples,
    describe_skipped,
)

MISSING, DAMAGED = (1, 4, 6, 9, 17), (0, 3, 8, 12)  # of 19 images
FOUND = {IMAGE_MISSING: 5, IMAGE_DAMAGED: 4}


@pytest.fixture(scope="module")
def broken_root(tmp_path_factory):
    """19 images, 9 of which are missing or damaged."""
    root = tmp_path_factory.mktemp("broken")
    (root / "images").mkdir()
    (root / "names.txt").write_text("\n".join(f"{number}.png" for number in range(19)))
    for number in set(range(19)) - set(MISSING):
        path = root / "images" / f"{number}.png"
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (16, 18, 3), dtype=np.uint8))
        if number in DAMAGED:
            path.write_bytes(path.read_bytes()[:-60])
    return root


def open_broken(root, **arguments):
    return Toy(
        **{
            "data_root": str(root),
            "ann_file": "names.txt",
            "data_prefix": {"img": "images"},
            "pipeline": [load],
            "faulty": "skip",
            **arguments,
        }
    )


def load_all(dataset, start="fork", epochs=1, **arguments):
    loader = DataLoader(
        dataset, batch_size=2, num_workers=2, multiprocessing_context=start, shuffle=True, collate_fn=list, **arguments
    )
    return [sample["id"] for _ in range(epochs) for batch in loader for sample in batch]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_leave_their_counts_behind(broken_root, start):
    dataset = open_broken(broken_root)
    assert dataset.count_skipped_samples() == {}
    ids = load_all(dataset, start)
    assert len(ids) == 19  # other samples in place of those left out
    assert not {100 + number for number in (*MISSING, *DAMAGED)} & set(ids)
    assert dataset.count_skipped_samples() == FOUND
    assert list(dataset.count_skipped_samples()) == list(FOUND)  # the most frequent first
    assert dataset.skipped_samples.rows_by_reason() == {IMAGE_MISSING: list(MISSING), IMAGE_DAMAGED: list(DAMAGED)}


def test_neither_epochs_nor_lots_change_the_counts(broken_root):
    dataset = open_broken(broken_root)
    load_all(dataset, epochs=3, persistent_workers=True)
    assert dataset.count_skipped_samples() == FOUND


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one, two: ConcatDataset([one, two], ignore_keys=["data_source"]),
        lambda one, two: torch.utils.data.ConcatDataset([one, RepeatDataset(two, 2)]),
    ],
)
def test_inside_wrappers(broken_root, wrap):
    one, two = open_broken(broken_root, indices=[0, 1, 2]), open_broken(broken_root, indices=[4, 5])
    load_all(wrap(one, two))
    assert one.count_skipped_samples() == {IMAGE_DAMAGED: 1, IMAGE_MISSING: 1}
    assert two.count_skipped_samples() == {IMAGE_MISSING: 1}


def test_a_part_counts_its_own_samples(broken_root):
    dataset = open_broken(broken_root)
    part = dataset.get_subset([0, 1, 2])
    load_all(part)
    assert part.count_skipped_samples() == dataset.count_skipped_samples() == {IMAGE_DAMAGED: 1, IMAGE_MISSING: 1}
    for number in (4, 6):
        dataset[number]
    assert part.count_skipped_samples() == {IMAGE_DAMAGED: 1, IMAGE_MISSING: 1}
    assert part.get_subset([2]).count_skipped_samples() == {}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))])
def test_copies_have_marks_of_their_own_that_workers_share(broken_root, duplicate):
    dataset = open_broken(broken_root, indices=[1, 2])
    dataset[0]
    other = duplicate(dataset)
    assert other.count_skipped_samples() == {IMAGE_MISSING: 1}
    other.skipped_samples.marks.zero_()
    load_all(other)
    assert other.count_skipped_samples() == {IMAGE_MISSING: 1}
    other.skipped_samples.marks.zero_()
    assert dataset.count_skipped_samples() == {IMAGE_MISSING: 1}


def drop_some(sample):
    return None if sample["id"] in (102, 105) else sample


@pytest.mark.parametrize("faulty", ["skip", "raise"])
def test_pipeline_that_returns_nothing(broken_root, faulty):
    indices = [2, 5, 7, 10]
    dataset = open_broken(broken_root, pipeline=[load, drop_some], faulty=faulty, indices=indices)
    load_all(dataset)
    assert dataset.count_skipped_samples() == {PIPELINE: 2}
    strict = open_broken(broken_root, pipeline=[load, drop_some], indices=indices, test_mode=True)
    with pytest.raises(ValueError, match="sample 1: expected a sample from the pipeline, got None"):
        strict[1]


def test_image_of_another_size(broken_root):
    dataset = open_broken(broken_root)
    dataset.sizes = [(36, 32) if row == 2 else (18, 16) for row in range(19)]  # px, as annotated
    for number in range(19):
        dataset[number]
    assert dataset.count_skipped_samples() == FOUND | {IMAGE_SIZE: 1}


def test_the_first_few_are_logged_over_all_workers(broken_root, log):
    dataset = open_broken(broken_root)
    for _ in range(2):
        for number in range(19):
            dataset[number]
    assert log.text.count("skipped a sample with a faulty image") == 5
    assert log.text.count("further ones are only counted") == 1


def test_marks_come_back():
    marks = SkippedSamples(6)
    for row, reason in ((5, IMAGE_MISSING), (0, IMAGE_SIZE), (3, IMAGE_MISSING)):
        marks.add(row, reason)
    other = SkippedSamples(6)
    other.add(1, PIPELINE)
    other.restore({**marks.rows_by_reason(), "a reason of a later version": [2]})
    assert other.rows_by_reason() == {IMAGE_MISSING: [3, 5], IMAGE_SIZE: [0], PIPELINE: [1]}
    assert other.count(np.array([0, 1, 2, 2, 0])) == {PIPELINE: 1, IMAGE_SIZE: 1}


def test_without_shared_memory(broken_root, log, monkeypatch):
    def refuse(self):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    dataset = open_broken(broken_root, indices=[1, 2])
    assert dataset[0]["id"] == 102
    assert dataset.count_skipped_samples() == {IMAGE_MISSING: 1}
    assert "that the workers of data loaders leave out cannot be counted" in log.text


def test_description():
    assert describe_skipped(19, {}) == "0 of 19 samples left out"
    assert describe_skipped(19, {IMAGE_SIZE: 2, PIPELINE: 1}) == (
        "3 of 19 samples left out: image of another size 2, nothing left by the pipeline 1"
    )
    assert len(set(skipped_samples.REASONS)) == 4
