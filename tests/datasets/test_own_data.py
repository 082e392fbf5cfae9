"""One's own data: what samples become of what a file says, worked out by hand, and what becomes of its mistakes."""

import json

import cv2
import numpy as np
import pytest
from own_data_fixture import CAMERA, NAMES, OURS, content, hand, hand_mm, image, in_image, write

from dfmamba.datasets import OwnHandsDataset, parse_own_data
from dfmamba.datasets.own_data.grouping import group_hands
from dfmamba.datasets.own_data.joint_orders import JOINT_ORDERS
from dfmamba.datasets.own_data.json_file import write_file
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.skeleton import inverse

RIGHT, LEFT = slice(0, 21), slice(21, 42)


def samples_of(folder, *images, **arguments):
    write(folder, content(*images))
    dataset = OwnHandsDataset(split="test", data_root=str(folder), **arguments)
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def test_a_hand_in_space(tmp_path):
    """The joints in mm, in canonical order; everything else follows from them and the camera, by OpenCV."""
    (sample,) = samples_of(tmp_path, image("a.jpg", hand(wrist=(10.0, 40.0, 500.0))))
    joints = hand_mm((10.0, 40.0, 500.0), OURS)
    np.testing.assert_allclose(sample["keypoints_cam"][0, RIGHT], joints, rtol=1e-6)
    matrix = np.array([[250.0, 0, 160], [0, 300, 150], [0, 0, 1]])
    points = cv2.projectPoints(joints, np.zeros(3), np.zeros(3), matrix, None)[0][:, 0]
    np.testing.assert_allclose(sample["keypoints"][0, RIGHT, :2], points, atol=1e-4)
    np.testing.assert_allclose(sample["keypoints"][0, RIGHT, 2], joints[:, 2] - 500, atol=1e-4)
    np.testing.assert_array_equal(sample["keypoints_visible"], [[1] * 21 + [0] * 21])
    np.testing.assert_array_equal(sample["hand_type"], [[1, 0]])
    np.testing.assert_allclose(sample["abs_depth"], [500, 0])
    np.testing.assert_array_equal(sample["depth_known"], [1, 0])
    np.testing.assert_array_equal(sample["space_known"], [1, 0])
    center, size = (points.min(0) + points.max(0)) / 2, 1.2 * (points.max(0) - points.min(0))
    np.testing.assert_allclose(sample["bbox"][0], [*(center - size / 2), *(center + size / 2)], rtol=1e-5)
    np.testing.assert_array_equal(sample["image_size"], [320, 300])
    assert sample["img_path"] == str(tmp_path / "a.jpg")


@pytest.mark.parametrize("order", JOINT_ORDERS)
def test_every_named_order(order, tmp_path):
    names = [OURS[joint] for joint in inverse(JOINT_ORDERS[order])]
    entry = {"side": "left", "keypoints_cam": hand_mm(names=names).tolist()}
    for named in (order, names):
        path = write(tmp_path, content(image("a.jpg", entry), joint_order=named))
        columns = parse_own_data(path).columns
        np.testing.assert_allclose(columns["joints_cam_mm"][0], hand_mm(names=OURS), rtol=1e-6)
        assert columns["side"].tolist() == [1]


def test_metres(tmp_path):
    entry = {"side": "right", "keypoints_cam": (hand_mm() / 1000).tolist()}
    path = write(tmp_path, content(image("a.jpg", entry), unit="m"))
    np.testing.assert_allclose(parse_own_data(path).columns["joints_cam_mm"][0], hand_mm(names=OURS), rtol=1e-6)


def test_joints_that_are_not_valid(tmp_path):
    """They may hold anything; without the wrist, nobody knows depths."""
    joints = hand_mm()
    joints[NAMES.index("index4")] = 0
    flags = [int(name != "index4") for name in NAMES]
    no_wrist = [int(name != "wrist") for name in NAMES]
    first, second = samples_of(
        tmp_path,
        image("a.jpg", {"side": "right", "keypoints_cam": joints.tolist(), "valid": flags}),
        image("b.jpg", hand(valid=no_wrist)),
    )
    assert np.flatnonzero(first["keypoints_visible"][0, RIGHT] == 0).tolist() == [OURS.index("index4")]
    assert not first["keypoints_cam"][0, OURS.index("index4")].any()
    np.testing.assert_array_equal(first["space_known"], [1, 0])
    np.testing.assert_array_equal(second["space_known"], [0, 0])
    np.testing.assert_array_equal(second["depth_known"], [0, 0])
    points = in_image(hand_mm(names=OURS))[:20]
    np.testing.assert_allclose(second["keypoints"][0, :20, :2], points, atol=1e-3)


def check_contract(sample):
    """`keypoints` are the projection of `keypoints_cam`, and Z is z and the depth of the root."""
    valid = sample["keypoints_visible"][0] > 0
    cam, points = sample["keypoints_cam"][0, valid], sample["keypoints"][0, valid]
    projected = cam[:, :2] / cam[:, 2:] * sample["focal"] + sample["principal_pt"]
    np.testing.assert_allclose(projected, points[:, :2], atol=1e-3)
    np.testing.assert_allclose(cam[:, 2], points[:, 2] + sample["root_depth"][valid], atol=1e-3)


@pytest.mark.parametrize("camera", [None, CAMERA])
def test_a_hand_in_the_image_only(camera, tmp_path):
    """It stands where a hand of 180 mm would be as large; without a camera that is 700 mm away."""
    (sample,) = samples_of(tmp_path, image("a.jpg", hand(form="image"), camera=camera))
    check_contract(sample)
    points = in_image(hand_mm(names=OURS))
    np.testing.assert_allclose(sample["keypoints"][0, RIGHT, :2], points, atol=1e-3)
    assert not sample["keypoints"][0, RIGHT, 2].any()
    np.testing.assert_array_equal(sample["depth_known"], [0, 0])
    np.testing.assert_array_equal(sample["space_known"], [0, 0])
    size_px = (points.max(0) - points.min(0)).max()
    if camera is None:
        np.testing.assert_allclose(sample["abs_depth"], [700, 0], rtol=1e-5)
        np.testing.assert_allclose(sample["focal"], 700 * size_px / 180, rtol=1e-5)
        np.testing.assert_allclose(sample["principal_pt"], [159.5, 149.5])
    else:
        np.testing.assert_allclose(sample["abs_depth"], [275 * 180 / size_px, 0], rtol=1e-5)
        np.testing.assert_allclose(sample["focal"], [250, 300])


@pytest.mark.parametrize("form", ["depth", "joints in space"])
def test_a_hand_with_depths_and_no_camera(form, tmp_path):
    """Only differences of depths count; so joints in space relative to a wrist will do."""
    entry = hand(side="left", form="depth")
    if form != "depth":
        entry["keypoints_cam"] = (hand_mm() - hand_mm()[0]).tolist()
        del entry["depth"]
    (sample,) = samples_of(tmp_path, image("a.jpg", entry, camera=None))
    check_contract(sample)
    np.testing.assert_allclose(sample["keypoints"][0, LEFT, :2], in_image(hand_mm(names=OURS)), atol=1e-3)
    np.testing.assert_allclose(sample["keypoints"][0, LEFT, 2], hand_mm(names=OURS)[:, 2] - 500, atol=1e-3)
    np.testing.assert_array_equal(sample["depth_known"], [0, 1])
    np.testing.assert_array_equal(sample["space_known"], [0, 0])
    np.testing.assert_allclose(sample["abs_depth"], [0, 700], rtol=1e-5)


def test_a_hand_close_to_the_camera_stays_in_front_of_it(tmp_path):
    """It fills the image of a short lens, and its depths would reach behind the camera."""
    entry = hand(form="depth")
    entry["keypoints_px"] = (10 * in_image(hand_mm())).tolist()
    entry["depth"] = np.linspace(0, -300, 21).tolist()
    (sample,) = samples_of(tmp_path, image("a.jpg", entry))
    check_contract(sample)
    assert sample["keypoints_cam"][0, RIGHT, 2].min() >= 300


def test_two_hands_that_touch_are_one_sample(tmp_path):
    right, left = hand("right", (0.0, 40.0, 500.0)), hand("left", (60.0, 40.0, 510.0))
    (sample,) = samples_of(tmp_path, image("a.jpg", left, right))
    np.testing.assert_allclose(sample["keypoints_cam"][0, RIGHT], hand_mm((0, 40, 500), OURS), rtol=1e-6)
    np.testing.assert_allclose(sample["keypoints_cam"][0, LEFT], hand_mm((60, 40, 510), OURS), rtol=1e-6)
    np.testing.assert_array_equal(sample["hand_type"], [[1, 1]])
    np.testing.assert_allclose(sample["rel_root_depth"], [10])
    np.testing.assert_array_equal(sample["rel_root_valid"], [1])
    assert sample["id"] == 0
    one, other = (in_image(hand_mm(wrist)) for wrist in ((0, 40, 500), (60, 40, 510)))
    assert sample["bbox"][0, 0] < one.min(0)[0]
    assert sample["bbox"][0, 2] > other.max(0)[0]


def test_a_hand_in_space_beside_one_in_the_image(tmp_path):
    (sample,) = samples_of(tmp_path, image("a.jpg", hand("right"), hand("left", (60.0, 40.0, 510.0), form="image")))
    check_contract(sample)
    np.testing.assert_array_equal(sample["space_known"], [1, 0])
    np.testing.assert_allclose(sample["abs_depth"][0], 500)
    np.testing.assert_array_equal(sample["rel_root_valid"], [0])


@pytest.mark.parametrize(("pairs", "counts"), [("touching", [1, 2, 3]), ("always", [1, 1, 3]), ("never", [2, 2, 3])])
def test_which_hands_are_a_pair(pairs, counts, tmp_path):
    """Hands that touch; hands 150 mm apart; two persons' hands."""
    near, far = hand("left", (60.0, 40.0, 500.0)), hand("left", (150.0, 40.0, 500.0))
    images = [
        image("a.jpg", hand("right"), near),
        image("b.jpg", hand("right"), far),
        image("c.jpg", hand("right"), near, hand("right", (-150.0, 40.0, 500.0))),
    ]
    samples = samples_of(tmp_path, *images, pairs=pairs)
    paths = [sample["img_path"] for sample in samples]
    assert [paths.count(str(tmp_path / name)) for name in ("a.jpg", "b.jpg", "c.jpg")] == counts


def test_other_choices_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"pairs: expected one of \('touching', .*\), got 'some'"):
        OwnHandsDataset(data_root=str(tmp_path), pairs="some", lazy_init=True)
    with pytest.raises(ValueError, match="split: expected one of"):
        OwnHandsDataset(split="all", lazy_init=True)
    with pytest.raises(ValueError, match="pairs: expected one of"):
        group_hands({}, "some")


def test_what_is_left_out_is_counted(tmp_path, log):
    write(tmp_path, content(image("a.jpg"), image("b.jpg", hand(valid=[0] * 21), hand("left")), image("c.jpg", hand())))
    dataset = OwnHandsDataset(split="test", data_root=str(tmp_path))
    assert dataset.skipped == {"no hand in the image": 1, "no valid joint": 1}
    assert [dataset.get_data_info(number)["id"] for number in range(2)] == [1, 2]
    assert "no hand in the image" in log.text


# ---- mistakes


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def changed_joints(change):
    entry = hand()
    joints = np.array(entry["keypoints_cam"])
    entry["keypoints_cam"] = change(joints).tolist()
    return entry


HAND_MISTAKES = {
    "no side": (without(hand(), "side"), "expected a 'side' among ('right', 'left'), got None"),
    "unknown side": (hand("Right"), "expected a 'side' among ('right', 'left'), got 'Right'"),
    "a misspelt key": (
        hand(keypoint_px=[]),
        "expected no other keys than side, box_xyxy, keypoints_px, keypoints_cam, depth, valid, got 'keypoint_px'. "
        "Is 'keypoints_px' meant?",
    ),
    "no joints": ({"side": "left"}, "expected 'keypoints_px' or 'keypoints_cam', got the keys ['side']"),
    "16 joints": (
        {"side": "left", "keypoints_px": [[1.0, 2.0]] * 16},
        "expected finite numbers of shape (21, 2) for 'keypoints_px', got shape (16, 2)",
    ),
    "null": (
        {"side": "left", "keypoints_px": [[1.0, None]] * 21},
        "expected finite numbers of shape (21, 2) for 'keypoints_px', got 'None', null, among them",
    ),
    "flags": (hand(valid=[2] * 21), "expected 0 and 1 for 'valid', got 2"),
    "depths twice": (
        hand(keypoints_px=[[1.0, 2.0]] * 21, depth=[0.0] * 21),
        "expected 'depth' or 'keypoints_cam', which has the depths, got both",
    ),
    "a box x, y, w, h": (
        hand(box_xyxy=[200.0, 200.0, 50.0, 60.0]),
        "expected a 'box_xyxy' (here x, y, w, h), or two valid joints, with an area, within 1e+06 px, "
        "got [200.0, 200.0, -150.0, -140.0]",
    ),
    "one joint": (
        hand(form="image", valid=[1] + [0] * 20),
        "or two valid joints, with an area, within 1e+06 px, got [160.0, 174.0, 0.0, 0.0]",
    ),
    "parts of the image": (
        {"side": "right", "keypoints_px": (in_image(hand_mm()) / 320).tolist()},
        "expected valid joints of a hand that is 2 px wide or high, or more, in the image, got one of 0.15 px. Are "
        "they parts of the image's width and height, as of MediaPipe?",
    ),
    "metres for mm": (
        changed_joints(lambda joints: joints / 1000),
        "expected joints in the file's unit in 'keypoints_cam', of a hand that reaches 5 to 5000 mm from the wrist, "
        "got one that reaches 0.08953 mm, too small by 1000: metres where mm belong?",
    ),
    "relative to the wrist": (
        changed_joints(lambda joints: joints - joints[0]),
        "expected valid joints in front of the camera, by 1 mm or more, in 'keypoints_cam', got thumb4 at "
        "[-40.0, -80.0, 0.0] mm in the camera's frame",
    ),
}


@pytest.mark.parametrize("name", HAND_MISTAKES)
def test_a_mistake_in_a_hand_is_one_message(name, tmp_path):
    """It names file, image, hand, what was expected, and what came; or the hand is left out, and counted."""
    wrong, message = HAND_MISTAKES[name]
    sound = [image(f"{number}.jpg", hand(wrist=(0, 20 * number, 400))) for number in range(2)]
    path = write(tmp_path, content(*sound, image("c.jpg", hand("left", (0, 0, 450)), wrong)))
    with pytest.raises(ValueError, match=r"c\.jpg") as error:
        parse_own_data(path)
    assert str(error.value) == f"{path}: record images[2].hands[1] ('c.jpg'): " + str(error.value).partition("): ")[2]
    assert str(error.value).endswith(message)
    parsed = parse_own_data(path, RecordErrorPolicy("skip"))
    assert parsed.skipped["faulty record"] == 1
    assert parsed.columns["hand_id"].tolist()[:3] == [0, 1, 2]


IMAGE_MISTAKES = {
    "no file": (without(image("c.jpg", hand()), "file"), "expected the key 'file', got the keys ['width', 'height'"),
    "out of the folder": (image("../c.jpg", hand()), "expected a relative file name that stays in the folder"),
    "no hands": (without(image("c.jpg"), "hands"), "expected a list 'hands', got None"),
    "one side of the size": (without(image("c.jpg", hand()), "width"), "expected both 'width' and 'height', or none"),
    "text": ("c.jpg", "expected a dictionary with the keys file, width, height, camera, hands, got 'c.jpg'"),
    "a camera without a center": (
        image("c.jpg", hand(), camera={"focal": [1.0, 2.0]}),
        "camera: expected finite numbers of shape (2,) for 'principal_point', got 'None'",
    ),
    "a matrix": (
        image("c.jpg", hand(), camera={"K": np.eye(3).tolist()}),
        "camera: expected no other keys than focal, principal_point, got 'K'",
    ),
    "a focal length of 0.5 px": (
        image("c.jpg", hand(), camera={"focal": [0.5, 0.5], "principal_point": [0, 0]}),
        "expected focal lengths from 1 to 1e+06 px, got [0.5, 0.5]",
    ),
    "an image twice": (image("0.jpg", hand()), "expected each 'file' once, got that of images[0] a second time"),
    "no size": (image("c.jpg", hand(), width=0), "expected a 'width' and a 'height' in px of at most"),
    "a place without a camera": (
        image("c.jpg", hand(), camera=None),
        "expected a 'camera' of the image, or 'keypoints_px' beside 'keypoints_cam', got neither",
    ),
}


@pytest.mark.parametrize("name", IMAGE_MISTAKES)
def test_a_mistake_in_an_image_is_one_message(name, tmp_path):
    wrong, message = IMAGE_MISTAKES[name]
    whole = content(*(image(f"{number}.jpg", hand(wrist=(0, 20 * number, 400))) for number in range(2)))
    path = write(tmp_path, whole)
    whole["images"].append(wrong)
    path.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=r"test.json: record images\[2\]") as error:
        parse_own_data(path)
    assert message in str(error.value)
    assert parse_own_data(path, RecordErrorPolicy("skip")).skipped["faulty record"] == 1


FILE_MISTAKES = {
    "another format": (
        {"format": "coco"},
        """expected "format": "dfmamba hands" and "version": 1, got {'format': 'coco'""",
    ),
    "a later version": ({"version": 2}, "'version': 2}"),
    "no order": ({"joint_order": None}, "expected a 'joint_order' among dfmamba, interhand26m, mediapipe, freihand,"),
    "unknown order": ({"joint_order": "smplx"}, "or the list of the names thumb4, thumb3, .*, wrist, got 'smplx'"),
    "20 names": (
        {"joint_order": NAMES[1:]},
        "'joint_order': joint names: expected thumb4, .* in any order, got thumb1,",
    ),
    "unknown unit": ({"unit": "cm"}, r"expected a 'unit' among \('mm', 'm'\), got 'cm'"),
    "unknown key": ({"units": "mm"}, "got 'units'. Is 'unit' meant"),
    "no unit": ({"unit": None}, r"""expected a "unit" of the file, "mm" or "m", for 'keypoints_cam', got none"""),
    "no images": ({"images": {}}, "expected a list 'images', got {}"),
}


@pytest.mark.parametrize("name", FILE_MISTAKES)
def test_a_mistake_in_the_file_is_one_message(name, tmp_path):
    change, message = FILE_MISTAKES[name]
    path = write(tmp_path, content(image("a.jpg", hand())))
    path.write_text(json.dumps(content(image("a.jpg", hand())) | change))
    with pytest.raises(ValueError, match=message.replace("{", r"\{")) as error:
        parse_own_data(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("unit", "meaning"), [("m", "mm taken for metres"), ("mm", "metres where mm belong")])
def test_depths_in_another_unit(unit, meaning, tmp_path):
    """Nothing but their size tells, and that of a single flat hand does not: so the whole file is looked at."""
    factor = {"m": 0.9, "mm": 0.001}[unit]
    hands = [hand(form="depth", depth=(factor * hand_mm()[:, 2]).tolist()) for _ in range(3)]
    whole = content(*(image(f"{number}.jpg", one, camera=None) for number, one in enumerate(hands)), unit=unit)
    with pytest.raises(ValueError, match=f"expected depths in the file's unit, of hands that are .*: {meaning}"):
        parse_own_data(write(tmp_path, whole))


def test_a_file_without_depths_needs_no_unit(tmp_path):
    whole = without(content(image("a.jpg", hand(form="image"))), "unit")
    assert len(parse_own_data(write(tmp_path, whole)).columns["side"]) == 1


def test_a_missing_file_shows_the_expected_tree(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)no such file or folder: .*train.json.*train.json  .*to train on"):
        OwnHandsDataset(data_root=str(tmp_path)).full_init()


def test_an_image_of_another_size_is_refused(tmp_path):
    write(tmp_path, content(image("a.jpg", hand())))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((100, 100, 3), np.uint8))
    dataset = OwnHandsDataset(split="test", data_root=str(tmp_path), test_mode=True)
    with pytest.raises(ValueError, match="320"):
        dataset[0]


def test_what_is_written_is_read(tmp_path):
    entries = [image("a.jpg", hand()), image("b.jpg", hand("left", form="image"))]
    write_file(tmp_path / "new" / "mine.json", "mediapipe", entries, "mm", "by hand")
    path = write(tmp_path, content(*entries))
    new, old = (parse_own_data(one).columns for one in (tmp_path / "new" / "mine.json", path))
    for name, column in old.items():
        np.testing.assert_array_equal(column, new[name])
    assert len((tmp_path / "new" / "mine.json").read_text().splitlines()) == 4
