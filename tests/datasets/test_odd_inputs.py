"""Each odd input of `odd_inputs.ODD` ends, in each data set that it applies to, as it says there.

Errors say what was expected and what came, in a thousand characters or so, and no odd input takes longer than seconds.
"""

import re
import signal
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_inputs import ODD, End
from odd_sets import SETS, SmallSet

MAX_SECONDS = 60  # of a hang, not of a busy machine with coverage on
MAX_MESSAGE = 1500


def pairs() -> list:
    """All pairs of odd inputs and sets that have what these need."""
    return [
        pytest.param(name, set_name, id=f"{name}-{set_name}")
        for name, item in ODD.items()
        for set_name, kind in SETS.items()
        if item.needs <= kind.has | {"image"}
    ]


@pytest.fixture
def time_limit():
    """Nothing hangs."""

    def stop(*_):
        raise TimeoutError(f"more than {MAX_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MAX_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def complete_set(tmp_path_factory):
    """Return a function that gives a set without anything odd, written once."""

    @cache
    def complete(set_name: str):
        root = tmp_path_factory.mktemp(set_name)
        small = SETS[set_name]()
        small.write(root)
        return small.open(root)

    return complete


def use(small: SmallSet, root: Path, look_at_images: bool, **policy):
    """Open the set and get all samples, as a training would; return the data set and its samples."""
    dataset = small.open(root, **({"pipeline": small.pipeline} if look_at_images else {}), **policy)
    return dataset, [dataset[i] if look_at_images else dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize(("name", "set_name"), pairs())
def test_odd_input(name, set_name, tmp_path, complete_set, time_limit):
    small, item, complete = SETS[set_name](), ODD[name], complete_set(set_name)
    item.change(small)
    root = tmp_path / small.arguments.pop("folder", "set")
    root.mkdir()
    small.write(root)
    images = "image" in item.needs
    end = item.but.get(set_name, item.end)
    if end.how in ("faulty", "refused"):
        check_errors(small, root, end, images)
    if end.how == "faulty":
        check_skip(small, root, complete, images)
    elif end.how == "skipped":
        dataset, _ = use(small, root, False)
        assert dataset.skipped[end.text] == complete.skipped.get(end.text, 0) + len(complete) - len(dataset) > 0
    elif end.how == "accepted":
        dataset, samples = use(small, root, True)
        assert len(dataset) == len(complete)
        for sample in samples:
            assert all(np.isfinite(sample[key]).all() for key in ("keypoints", "keypoints_cam", "bbox", "focal"))


def check_errors(small: SmallSet, root: Path, end: End, images: bool) -> None:
    """The error is there with the policy 'raise', and with 'skip' too where the file is of no use."""
    for policy in ("raise", "skip") if end.how == "refused" else ("raise",):
        with pytest.raises(end.error, match=end.text) as error:
            use(small, root, images, faulty=policy)
        message = str(error.value)
        assert "expected" in message.lower() or isinstance(error.value, OSError), message
        assert len(message) < MAX_MESSAGE + len(str(root)), message[:2000]
        if end.file:
            assert str(small.path(root, end.file)) in message, message
        if end.record:
            assert re.search(rf"record {small.image_record if images else small.record}\b", message), message


def check_skip(small: SmallSet, root: Path, complete, images: bool) -> None:
    """With faulty='skip' the record is missing, and counted."""
    dataset, samples = use(small, root, images, faulty="skip")
    if images:
        assert len(dataset) == len(complete)
        with pytest.raises((ValueError, FileNotFoundError)):  # a test never leaves out a sample
            use(small, root, images, faulty="skip", test_mode=True)
        first = str(root / Path(complete.get_data_info(0)["img_path"]).relative_to(complete.data_root))
        assert all(sample["img_path"] != first for sample in samples)
        return
    assert 0 < len(dataset) < len(complete)
    assert dataset.skipped["faulty record"] > 0
    assert all(np.isfinite(sample["keypoints"]).all() for sample in samples)


def test_the_list_is_long_and_reaches_every_set():
    assert len(ODD) >= 40
    for set_name in SETS:
        reached = [param for param in pairs() if param.values[1] == set_name]
        assert len(reached) >= 30, set_name
    assert {param.values[0] for param in pairs()} == set(ODD)


@pytest.mark.parametrize("set_name", SETS)
def test_every_sample_says_the_size_of_its_image(set_name, complete_set):
    dataset = complete_set(set_name)
    for sample in (dataset.get_data_info(i) for i in range(len(dataset))):
        height, width = cv2.imread(sample["img_path"]).shape[:2]
        assert sample["image_size"].tolist() == [width, height]
        assert sample["image_size"].dtype == np.int32
