"""What the transforms of test pipelines do with a picture that has an image and a box, and no ground truth."""

import logging

import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import GetBBoxCenterScale

from dfmamba.datasets import AddBoneLength, AddViewRotation, CropDepthCube, LoadNYUDepth, MirrorLeftHand, ToSingleHand
from dfmamba.datasets.transforms.own_pictures import warn_once
from dfmamba.skeleton import HAND_BONES_MM, ONE_HAND, TWO_HANDS

CAMERA = {"focal": np.array([400.0, 500.0]), "principal_pt": np.array([320.0, 240.0])}


@pytest.fixture(autouse=True)
def all_warnings_again():
    warn_once.cache_clear()


def picture(skeleton=TWO_HANDS, **said):
    """A picture of 40 x 20 px with a white pixel in column 3 and a box of 10 px."""
    img = np.zeros((20, 40, 3), np.uint8)
    img[5, 3] = 255
    return {
        "img": img,
        "bbox": np.array([[2.0, 4, 12, 14]], np.float32),
        "bbox_score": np.ones(1, np.float32),
        "flip_indices": list(skeleton.flip),
        "flip_pairs": [],
        "skeleton_links": list(skeleton.bones),
        "dataset_keypoint_weights": np.ones(skeleton.num_joints, np.float32),
        **said,
    }


def warnings_in(log):
    return [record.getMessage() for record in log.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS], ids=["21", "42"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_side_that_a_picture_says(skeleton, side, log):
    results = MirrorLeftHand()(ToSingleHand()(picture(skeleton, hand_side=side)))
    assert results["one_of_two_hands"] == (skeleton is TWO_HANDS)
    assert results["mirrored"] == (side == "left")
    assert results["hand_type"].tolist() == [[1, 0]]
    assert results["flip_indices"] == list(range(21))
    assert results["dataset_keypoint_weights"].shape == (21,)
    column = 40 - 1 - 3 if side == "left" else 3
    assert np.argwhere(results["img"][..., 0]).tolist() == [[5, column]]
    assert results["bbox"].tolist() == ([[39 - 12, 4, 39 - 2, 14]] if side == "left" else [[2, 4, 12, 14]])
    assert "keypoints" not in results
    assert not warnings_in(log)


def test_a_picture_may_say_its_side_as_samples_do(log):
    results = MirrorLeftHand()(ToSingleHand()(picture(hand_type=np.array([[0.0, 1.0]]))))
    assert results["mirrored"]
    assert not warnings_in(log)


def test_a_picture_that_says_nothing_shows_a_right_hand_with_one_warning(log):
    for skeleton in (ONE_HAND, TWO_HANDS, TWO_HANDS):
        assert MirrorLeftHand()(ToSingleHand()(picture(skeleton)))["mirrored"] is False
    assert len(warnings_in(log)) == 1
    assert "hand_side: nobody says which hand the picture shows; taken for a right one" in warnings_in(log)[0]


@pytest.mark.parametrize("side", ["Left", "both", 1, None])
def test_an_unknown_side_is_refused(side):
    for transform, skeleton in ((ToSingleHand(), TWO_HANDS), (MirrorLeftHand(), ONE_HAND)):
        with pytest.raises(ValueError, match=f"hand_side: expected 'right' or 'left', got {side!r}"):
            transform(picture(skeleton, hand_side=side))


@pytest.mark.parametrize(
    "transform",
    [ToSingleHand(), MirrorLeftHand(), AddViewRotation(), AddBoneLength(), CropDepthCube()],
    ids=lambda transform: type(transform).__name__,
)
def test_a_sample_of_a_data_set_without_gt_stays_an_error(transform):
    sample = picture(ONE_HAND, sample_idx=7, hand_side="right", center_depth=700.0, bone_length=90.0)
    with pytest.raises(ValueError, match="keypoints: expected the joints of sample 7 of a data set, got only bbox, "):
        transform(sample)


@pytest.mark.parametrize("transform", [ToSingleHand(), MirrorLeftHand()])
def test_a_sample_with_joints_must_say_its_side(transform):
    num_joints = 42 if isinstance(transform, ToSingleHand) else 21
    with pytest.raises(ValueError, match="hand_type: expected a sample that says which hand it is"):
        transform(picture(keypoints=np.zeros((1, num_joints, 3)), hand_side="right"))


def test_the_length_of_the_bone(log):
    assert AddBoneLength()(picture(ONE_HAND, bone_length=91.5))["bone_length"].tolist() == [91.5]
    assert AddBoneLength(bone=("wrist", "index1"))(picture(ONE_HAND, bone_length=[80]))["bone_length"].tolist() == [80]
    assert not warnings_in(log)
    for _ in range(2):
        usual = AddBoneLength()(picture(ONE_HAND))["bone_length"]
        assert usual.tolist() == [HAND_BONES_MM["middle"][0]]
        assert usual.dtype == np.float32
    assert len(warnings_in(log)) == 1
    assert "wrist-middle1 is taken for 86.0 mm long" in warnings_in(log)[0]


@pytest.mark.parametrize("length", [0, -3.0, np.nan, np.inf, [80, 90], None])
def test_a_bone_without_length_is_refused(length):
    bone = ("wrist", "index1")
    with pytest.raises(ValueError, match="bone_length: expected the length of wrist-index1 in mm, which no picture"):
        AddBoneLength(bone)(picture(ONE_HAND) if length is None else picture(ONE_HAND, bone_length=length))


def test_without_a_camera_there_is_no_view_rotation():
    boxed = GetBBoxCenterScale(padding=1.25)
    assert "view_rotation" not in AddViewRotation()(boxed(picture()))
    assert AddViewRotation()(boxed(picture(**CAMERA)))["view_rotation"].shape == (3, 3)
    for key in CAMERA:  # half a camera is a mistake
        with pytest.raises(ValueError, match=f"AddViewRotation: expected a camera.*got no {key}"):
            AddViewRotation()(boxed(picture(**{name: value for name, value in CAMERA.items() if name != key})))
    with pytest.raises(ValueError, match="got no focal, principal_pt"):
        AddViewRotation()(boxed(picture(keypoints=np.zeros((1, 42, 3)))))


# ---- depth


def depth_map():
    return np.random.default_rng(0).integers(600, 900, (480, 640))


def test_a_loaded_depth_image_is_that_of_its_file(tmp_path):
    depth = depth_map()
    bgr = np.stack([depth % 256, depth // 256, 0 * depth], axis=-1).astype(np.uint8)
    path = str(tmp_path / "depth.png")
    cv2.imwrite(path, bgr)
    expected = LoadNYUDepth()({"img_path": path})
    for image in (bgr, depth.astype(np.uint16), depth.astype(np.float64)[..., None], depth.astype(np.int32)):
        results = LoadNYUDepth()({"img": image, "img_path": None})
        np.testing.assert_array_equal(results["img"], expected["img"])
        np.testing.assert_array_equal(results["img"][..., 0], depth)
        assert results["img"].dtype == np.float32
        assert results["img_shape"] == results["ori_shape"] == (480, 640)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), np.uint8),
        np.zeros((480, 640, 3)),
        np.zeros((640, 480)),
        np.zeros((480, 640), complex),
        np.zeros((480, 640, 2)),
        np.zeros(480),
    ],
    ids=["bytes", "three floats", "turned", "complex", "two channels", "a line"],
)
def test_other_images_are_no_depth(image):
    with pytest.raises(ValueError, match=r"img: expected a depth image of 640 x 480 px, .* got "):
        LoadNYUDepth()({"img": image})


def test_the_cube_is_around_the_depth_that_a_picture_says():
    depth = np.float32(depth_map())
    box = np.array([[100.0, 50, 300, 250]], np.float32)
    gt = {"keypoints": np.zeros((1, 14, 3)), "root_depth": np.full(14, 700.0)}
    expected = CropDepthCube()({"img": depth[..., None], "bbox": box, **gt})
    for said in (700, 700.0, np.float32(700)):
        results = CropDepthCube()({"img": depth[..., None], "bbox": box, "center_depth": said})
        np.testing.assert_array_equal(results["img"], expected["img"])
        np.testing.assert_array_equal(results["input_center"], expected["input_center"])
        assert "transformed_keypoints" not in results


@pytest.mark.parametrize("said", [{}, {"center_depth": 0}, {"center_depth": np.nan}, {"center_depth": "700"}])
def test_a_cube_without_center_is_refused(said):
    with pytest.raises(ValueError, match=r"center_depth: expected the depth of the hand's center in mm.*got "):
        CropDepthCube()({"img": np.zeros((480, 640, 1)), "bbox": np.array([[0, 0, 9, 9]]), **said})
