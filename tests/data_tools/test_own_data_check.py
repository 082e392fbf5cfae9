"""check_data on one's own data: a whole set passes, and wrong orders, units, sides and cameras are named."""

import json
import shutil

import numpy as np
import pytest

from dfmamba.data_tools.check import Progress, check_split
from dfmamba.data_tools.sample_checks import OK, WRONG
from dfmamba.datasets import OwnHandsDataset
from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS
from dfmamba.datasets.spec import data_set
from dfmamba.skeleton import FROM_DEXYCB, inverse

pytestmark = pytest.mark.slow

FORMS = ("space", "depth", "image")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A SYNTHETIC set, for reading only."""
    folder = tmp_path_factory.mktemp("own_check") / "set"
    data_set("own_data").write(folder, {"test": 12}, seed=3)
    return folder


@pytest.fixture
def changed(drawn, tmp_path):
    """Return a function that gives a copy of the set, whose hands a test may change."""

    def make(change=lambda hand: None, form="space", **head):
        folder = shutil.copytree(drawn, tmp_path / "set")
        path = folder / "test.json"
        content = json.loads(path.read_text()) | head
        for image in content["images"]:
            for hand in image["hands"]:
                if form != "space":
                    joints = np.array(hand.pop("keypoints_cam"))
                    hand |= {"depth": joints[:, 2].tolist()} if form == "depth" else {}
                change(hand)
            if form != "space":
                del image["camera"]
        path.write_text(json.dumps(content))
        return folder

    return make


def check(folder):
    dataset = OwnHandsDataset(split="test", data_root=str(folder), lazy_init=True)
    return check_split(["test"], dataset, 0, Progress())


def wrong(report):
    return {finding.name: finding.text for finding in report.findings if finding.level == WRONG}


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_set_passes(form, changed):
    report = check(changed(form=form))
    assert [finding for finding in report.findings if finding.level != OK] == []
    assert report.synthetic
    texts = {finding.name: finding.text for finding in report.findings}
    assert ("only places in the image" in texts["bone lengths"]) == (form != "space")
    assert ("px apart in the median" in texts["projection against the file"]) == (form == "space")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("named", ["dfmamba", "mano", "rhd"])
def test_another_order_than_the_file_says_is_named(named, form, changed):
    text = wrong(check(changed(form=form, joint_order=named)))["order of joints"]
    assert "Is it \"joint_order\": 'mediapipe' or 'freihand' or 'openpose' or 'coco_wholebody' or 'dexycb'?" in text


@pytest.mark.parametrize("meant", ["dfmamba", "mano", "mano_minimal_hand", "rhd"])
def test_every_order_is_recognised(meant, changed):
    back = [FROM_DEXYCB[joint] for joint in inverse(JOINT_ORDERS[meant])]

    def reorder(hand):
        for key in ("keypoints_cam", "keypoints_px"):
            hand[key] = [hand[key][joint] for joint in back]

    text = wrong(check(changed(reorder)))["order of joints"]
    assert f"'{meant}'" in text


def test_no_known_order_is_said_to_be_none(changed):
    """Neighbouring fingers' tips taken for each other."""

    def swap(hand):
        for key in ("keypoints_cam", "keypoints_px"):
            hand[key][4], hand[key][20] = hand[key][20], hand[key][4]

    assert "Are joints mixed up?" in wrong(check(changed(swap)))["order of joints"]


@pytest.mark.parametrize("form", ["space", "depth"])
def test_sides_that_are_swapped_are_noticed(form, changed):
    def swap(hand):
        hand["side"] = "left" if hand["side"] == "right" else "right"

    assert "right and left hands swapped" in wrong(check(changed(swap, form)))["order of joints"]


@pytest.mark.parametrize(
    ("unit", "factor", "meaning"), [("mm", 1, "metres where mm belong"), ("m", 1000, "mm taken for metres")]
)
@pytest.mark.parametrize(("form", "key"), [("space", "keypoints_cam"), ("depth", "depth")])
def test_another_unit_than_the_file_says_is_named(form, key, unit, factor, meaning, changed):
    """0.18 or 180000 mm: the file is not read at all."""

    def scale(hand):
        hand[key] = (factor * np.array(hand[key])).tolist()

    assert meaning in wrong(check(changed(scale, form, unit=unit)))["annotations"]


def test_another_camera_is_noticed(changed):
    folder = changed()
    content = json.loads((folder / "test.json").read_text())
    for image in content["images"]:
        image["camera"]["focal"] = [2 * value for value in image["camera"]["focal"]]
    (folder / "test.json").write_text(json.dumps(content))
    assert "Is it the camera of this image" in wrong(check(folder))["projection against the file"]


def test_columns_and_rows_that_are_swapped_are_noticed(changed):
    def swap(hand):
        hand["keypoints_px"] = np.array(hand["keypoints_px"])[:, ::-1].tolist()

    assert "projection against the file" in wrong(check(changed(swap)))


def test_a_missing_image_is_named(changed):
    folder = changed()
    (folder / "images" / "test_0003.jpg").unlink()
    assert "test_0003.jpg" in wrong(check(folder))["images"]
