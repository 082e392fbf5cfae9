"""Converters into one's own JSON file, against pycocotools and the reader of RHD."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rhp_fixture
from own_data_fixture import hand_mm, in_image
from pycocotools.coco import COCO

from dfmamba.datasets import OwnHandsDataset, RHPDataset, parse_own_data
from dfmamba.datasets.own_data.convert_coco import convert_coco
from dfmamba.datasets.own_data.convert_rhd import convert_rhd
from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS
from dfmamba.skeleton import HAND_JOINTS

TOOL = Path(__file__).parents[2] / "tools" / "convert_annotations.py"


def flat(points, flags):
    """Return keypoints as COCO has them; those that are not labelled are 0, 0."""
    flags = np.array(flags, dtype=float)
    return np.column_stack([points * (flags[:, None] > 0), flags]).ravel().tolist()


def coco_file(folder, *annotations, **image):
    """Write a COCO file with an image for each annotation and one without any; return its path."""
    count = len(annotations)
    images = [{"id": 10 + n, "file_name": f"{n}.jpg", "width": 320, "height": 300, **image} for n in range(count + 1)]
    entries = [{"id": 70 + n, "image_id": 10 + n, "category_id": 1, **one} for n, one in enumerate(annotations)]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": [{"id": 1, "name": "hand"}]}))
    return path


def written(folder, converted, source):
    converted.write(folder / "mine.json", source)
    return parse_own_data(folder / "mine.json").columns


def test_coco_by_pycocotools(tmp_path):
    points = [in_image(hand_mm((0, 10 * n, 400))) for n in range(3)]
    flags = [[2] * 21, [1] * 20 + [0], [0] * 21]
    path = coco_file(
        tmp_path,
        {"keypoints": flat(points[0], flags[0]), "bbox": [100, 50, 60, 70], "hand_type": "left"},
        {"keypoints": flat(points[1], flags[1]), "bbox": [0, 0, 0, 0]},
        {"keypoints": flat(points[2], flags[2])},
    )
    converted = convert_coco(path, side="right", image_prefix="photos/")
    assert converted.left_out == {"hands without a labelled joint": 1, "images without a hand": 2}
    columns = written(tmp_path, converted, path)
    theirs = COCO(str(path))
    order = list(JOINT_ORDERS["coco_wholebody"])
    for row, annotation in enumerate(theirs.loadAnns([70, 71])):
        keypoints = np.array(annotation["keypoints"]).reshape(21, 3)[order]
        np.testing.assert_allclose(columns["points_px"][row], keypoints[:, :2], atol=1e-4)
        np.testing.assert_array_equal(columns["joint_valid"][row], keypoints[:, 2] > 0)
        name = theirs.loadImgs(annotation["image_id"])[0]["file_name"]
        assert columns["file_name"][columns["image"][row]].decode() == f"photos/{name}"
    assert columns["side"].tolist() == [1, 0]
    np.testing.assert_allclose(columns["box_xyxy"][0], [100, 50, 160, 120])
    assert not columns["depth_known"].any()
    assert columns["image_size"].tolist() == [[320, 300]] * 2


def test_whole_body(tmp_path):
    """Both hands of a person; a hand that is marked as not valid is not there."""
    right, left = in_image(hand_mm((0, 40, 400))), in_image(hand_mm((60, 40, 400)))
    person = {
        "keypoints": [0] * 51,
        "righthand_kpts": flat(right, [1.0] * 21),
        "righthand_box": [1.0, 2, 30, 40],
        "righthand_valid": True,
        "lefthand_kpts": flat(left, [1.0] * 21),
        "lefthand_box": [50.0, 2, 30, 40],
        "lefthand_valid": True,
    }
    path = coco_file(tmp_path, person, person | {"lefthand_valid": False})
    columns = written(tmp_path, convert_coco(path, joint_order="rhd"), path)
    assert columns["side"].tolist() == [0, 1, 0]
    order = list(JOINT_ORDERS["coco_wholebody"])
    np.testing.assert_allclose(columns["points_px"], np.array([right, left, right])[:, order], atol=1e-4)
    np.testing.assert_allclose(columns["box_xyxy"][1], [50, 2, 80, 42])


def test_another_order_of_cocos_keypoints(tmp_path):
    names = [
        "wrist",
        *(f"{finger}{n}" for finger in ("thumb", "index", "middle", "ring", "pinky") for n in (4, 3, 2, 1)),
    ]
    points = in_image(hand_mm(names=names))
    path = coco_file(tmp_path, {"keypoints": flat(points, [2] * 21), "side": "left"})
    columns = written(tmp_path, convert_coco(path, joint_order="rhd"), path)
    np.testing.assert_allclose(columns["points_px"][0], in_image(hand_mm(names=HAND_JOINTS)), atol=1e-4)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"keypoints": [1.0] * 63},
            "record 70: expected a 'hand_type' or 'side' among ('right', 'left'), got none, and",
        ),
        ({"keypoints": [1.0] * 63, "side": "both"}, "among ('right', 'left'), got 'both'"),
        ({"keypoints": [1.0] * 51, "side": "left"}, "expected numbers of shape (63,) for 'keypoints', got shape (51,)"),
        ({"keypoints": [1.0] * 63, "side": "left", "image_id": 3}, "expected an image with the id 3, got none"),
        ({"side": "left"}, "record 70: expected the key 'keypoints'"),
    ],
)
def test_what_is_no_hand_of_coco_is_refused(annotation, message, tmp_path):
    path = coco_file(tmp_path, annotation)
    with pytest.raises(ValueError, match=r"coco\.json") as error:
        convert_coco(path)
    assert message in str(error.value)


def test_a_file_without_hands_is_refused(tmp_path):
    path = coco_file(tmp_path, {"keypoints": [0.0] * 63, "side": "left"})
    with pytest.raises(ValueError, match="expected a hand with a labelled joint, got none"):
        convert_coco(path).write(tmp_path / "mine.json", path)
    assert not (tmp_path / "mine.json").exists()


def json_of(frames):
    return {str(key): {name: np.asarray(value).tolist() for name, value in one.items()} for key, one in frames.items()}


@pytest.mark.parametrize("ending", [".pickle", ".json"])
@pytest.mark.parametrize("validity", ["visible", "annotated"])
def test_rhd_by_its_own_reader(ending, validity, tmp_path):
    """Hand by hand, the joints, the camera and the points in the image are those of `RHPDataset`."""
    source = rhp_fixture.write_rhp(tmp_path)
    if ending == ".json":
        frames = pickle.loads(source.read_bytes())
        source = tmp_path / "frames.json"
        source.write_text(json.dumps(json_of(frames)))
    converted = convert_rhd(source, validity, image_prefix="evaluation/color/")
    if validity == "visible":
        assert converted.left_out == {"hands without a visible joint": 2, "images without a hand": 1}
    converted.write(tmp_path / "mine.json", source)
    own = OwnHandsDataset(ann_file="mine.json", data_root=str(tmp_path), pairs="never")
    mine = [own.get_data_info(number) for number in range(len(own))]
    compared = 0
    for side in ("right", "left"):
        theirs = RHPDataset("test", data_root=str(tmp_path), hand=side, validity=validity)
        for number in range(len(theirs)):
            expected = theirs.get_data_info(number)
            (found,) = [
                sample
                for sample in mine
                if sample["img_path"] == expected["img_path"] and (sample["hand_type"] == expected["hand_type"]).all()
            ]
            for name in ("keypoints", "keypoints_cam", "keypoints_visible", "focal", "principal_pt", "abs_depth"):
                np.testing.assert_allclose(found[name], expected[name], atol=1e-3, err_msg=name)
            points, theirs_px = (one.read_image_points([s]) for one, s in ((own, found), (theirs, expected)))
            valid = expected["keypoints_visible"][0] > 0
            np.testing.assert_allclose(points[0, valid], theirs_px[0, valid], atol=1e-3)
            compared += 1
    assert compared == len(mine) == (10 if validity == "annotated" else 8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "expected a dictionary of frames by number, got a list"),
        ({"a": {}}, "expected an integer for 'number', got 'a'"),
        ({"7": {"xyz": [[0.0] * 3] * 21}}, "record 7: expected numbers of shape (42, 3) for 'xyz', got shape (21, 3)"),
    ],
)
def test_what_is_no_rhd_is_refused(frames, message, tmp_path):
    path = tmp_path / "frames.json"
    path.write_text(json.dumps(frames))
    with pytest.raises(ValueError, match=r"frames\.json") as error:
        convert_rhd(path)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="validity: expected one of"):
        convert_rhd(path, "seen")


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_tool_says_what_it_wrote_and_what_not(tmp_path):
    path = coco_file(tmp_path, {"keypoints": flat(in_image(hand_mm()), [2] * 21)})
    out = tmp_path / "new" / "mine.json"
    done = run("coco", path, "--side", "right", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{out}: 1 hand in 1 image, order coco_wholebody",
        "left out: 1 images without a hand",
    ]
    rhd = run("rhd", rhp_fixture.write_rhp(tmp_path), "--out", tmp_path / "rhd.json", "--image-prefix", "a/")
    assert rhd.returncode == 0, rhd.stderr
    assert json.loads((tmp_path / "rhd.json").read_text())["images"][0]["file"] == "a/00000.png"
    wrong = run("coco", path, "--out", tmp_path / "other.json")
    assert wrong.returncode == 2
    assert "no side was given for all" in wrong.stderr.splitlines()[-1]
