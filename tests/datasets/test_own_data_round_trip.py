"""The SYNTHETIC set of one's own data, against the same pictures in InterHand2.6M's layout and that layout's reader."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfmamba.datasets import InterHand26MDataset, OwnHandsDataset
from dfmamba.datasets.spec import data_set

pytestmark = pytest.mark.slow

COUNT = 16  # with records whose joints or roots are not valid


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return the two data sets."""
    roots = {}
    for name in ("own_data", "interhand26m"):
        roots[name] = tmp_path_factory.mktemp(name) / "set"
        data_set(name).write(roots[name], {"test": COUNT}, seed=4)
    return (
        OwnHandsDataset(split="test", data_root=str(roots["own_data"]), pairs="always"),
        InterHand26MDataset(split="test", data_root=str(roots["interhand26m"]), keep_unannotated=True),
    )


def test_samples_are_those_of_interhand(both):
    own, theirs = both
    assert len(own) == len(theirs) == COUNT
    partly = 0
    for number in range(COUNT):
        mine, other = own.get_data_info(number), theirs.get_data_info(number)
        np.testing.assert_array_equal(mine["hand_type"], other["hand_type"])
        valid = other["keypoints_visible"][0] > 0
        known = np.repeat(mine["space_known"], 21) * mine["keypoints_visible"][0] > 0
        np.testing.assert_array_equal(known, valid)
        np.testing.assert_allclose(mine["keypoints_cam"][0, valid], other["keypoints_cam"][0, valid], atol=2e-3)
        np.testing.assert_allclose(mine["keypoints"][0, valid], other["keypoints"][0, valid], atol=4e-3)
        np.testing.assert_allclose(mine["focal"], other["focal"])
        np.testing.assert_array_equal(cv2.imread(mine["img_path"]), cv2.imread(other["img_path"]))
        partly += int(0 < valid.sum() < 21 * other["hand_type"].sum())
    assert partly > 0


def test_the_file_is_one_that_a_reader_of_the_document_would_write(both):
    content = json.loads(Path(both[0].ann_file).read_text())
    assert content["joint_order"] == "mediapipe"
    assert content["unit"] == "m"
    assert content["comment"] == "SYNTHETIC"
    assert [entry["file"] for entry in content["images"]] == [
        f"images/test_{number:04d}.jpg" for number in range(COUNT)
    ]
    hand = content["images"][0]["hands"][0]
    wrist, middle_tip = np.array(hand["keypoints_cam"])[[0, 12]]
    assert 0.1 < np.linalg.norm(middle_tip - wrist) < 0.25
