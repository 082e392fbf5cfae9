"""Samples of one right hand: by hand, against the projection, and through mmpose's pipeline to predictions."""

import copy

import numpy as np
import nyu_fixture
import pytest
from mmpose.datasets.transforms import GetBBoxCenterScale, TopdownAffine
from mmpose.structures.bbox import get_warp_matrix

import dfmamba.register  # noqa: F401
from dfmamba.datasets import (
    AddBoneLength,
    AddViewRotation,
    CropDepthCube,
    InterHand26MDataset,
    MirrorLeftHand,
    NYUDataset,
    RandomHandBBoxTransform,
    RandomHandFlip,
    RotateKeypoints3D,
    ToSingleHand,
)
from dfmamba.geometry import project
from dfmamba.skeleton import HAND_JOINTS, ONE_HAND, WRIST

MIDDLE1 = HAND_JOINTS.index("middle1")
RIGHT_HAND, LEFT_HAND, TWO_HANDS = 0, 1, 2  # numbers of the fixture's samples
CAMERA = {"focal": np.array([400.0, 500.0]), "principal_pt": np.array([320.0, 240.0])}


@pytest.fixture
def samples(interhand_root):
    """The fixture's samples with their images: right, left, interacting, interacting without a right root."""
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), pipeline=[{"type": "mmpose.LoadImage"}])
    return [dataset[i] for i in range(4)]


def copies_of_arrays(sample):
    return {key: copy.deepcopy(value) for key, value in sample.items() if isinstance(value, np.ndarray)}


class TestToSingleHand:
    @pytest.mark.parametrize(("number", "joints"), [(RIGHT_HAND, slice(0, 21)), (LEFT_HAND, slice(21, 42))])
    def test_takes_the_hand_that_is_there(self, samples, number, joints):
        before = copy.deepcopy(samples[number])
        sample = ToSingleHand()(samples[number])
        for key in ("keypoints", "keypoints_cam", "keypoints_visible"):
            np.testing.assert_array_equal(sample[key], before[key][:, joints], err_msg=key)
        np.testing.assert_array_equal(sample["root_depth"], before["root_depth"][joints])
        assert sample["keypoints_visible"].all()
        assert len(sample["dataset_keypoint_weights"]) == 21
        assert sample["flip_indices"] == list(range(21))
        assert sample["flip_pairs"] == []
        assert [tuple(link) for link in sample["skeleton_links"]] == list(ONE_HAND.bones)
        np.testing.assert_array_equal(sample["hand_type"], before["hand_type"])
        assert sample["one_of_two_hands"] is True

    def test_samples_of_one_hand_stay(self, samples):
        sample = ToSingleHand()(samples[LEFT_HAND])
        before = copy.deepcopy(sample)
        after = ToSingleHand()(sample)
        assert after.pop("one_of_two_hands") is False
        assert after.keys() | {"one_of_two_hands"} == before.keys()
        np.testing.assert_array_equal(after["keypoints"], before["keypoints"])

    def test_does_not_write_to_its_input(self, samples):
        sample = samples[LEFT_HAND]
        arrays = {key: value for key, value in sample.items() if isinstance(value, np.ndarray)}
        before = copies_of_arrays(sample)
        MirrorLeftHand()(ToSingleHand()(sample))
        for key, value in arrays.items():
            np.testing.assert_array_equal(value, before[key], err_msg=key)

    def test_two_hands_none_and_other_joints_are_refused(self, samples):
        with pytest.raises(ValueError, match=r"42 joints with right and left hand \(see InterHand26MHandsDataset\)"):
            ToSingleHand()(samples[TWO_HANDS])
        with pytest.raises(ValueError, match="got 42 joints with no hand"):
            ToSingleHand()(samples[RIGHT_HAND] | {"hand_type": np.zeros((1, 2))})
        with pytest.raises(ValueError, match="got 14 joints with right hand"):
            ToSingleHand()({"keypoints": np.zeros((1, 14, 3)), "hand_type": np.array([[1, 0]])})


class TestMirrorLeftHand:
    def test_right_hands_stay(self, samples):
        sample = ToSingleHand()(samples[RIGHT_HAND])
        before = copies_of_arrays(sample)
        after = MirrorLeftHand()(sample)
        assert after["mirrored"] is False
        for key, value in before.items():
            np.testing.assert_array_equal(after[key], value, err_msg=key)

    def test_left_hands_by_hand(self, samples):
        # camera 400002, width 512: no turn, focal 500, principal point (50, 60), left wrist at (-90, 120, 930)
        sample = MirrorLeftHand()(ToSingleHand()(samples[LEFT_HAND]))
        assert sample["mirrored"] is True
        np.testing.assert_allclose(sample["keypoints_cam"][0, WRIST], [90, 120, 930])
        u, v = 50 - 500 * 90 / 930, 60 + 500 * 120 / 930
        np.testing.assert_allclose(sample["keypoints"][0, WRIST], [511 - u, v, 0], rtol=1e-6)
        assert sample["principal_pt"].tolist() == [461, 60]
        assert sample["hand_type"].tolist() == [[1, 0]]
        assert sample["abs_depth"].tolist() == [930, 0]
        assert sample["root_depth"].tolist() == [930] * 21
        assert sample["bbox"].tolist() == [[511 - 110, 20, 511 - 10, 80]]
        assert np.argwhere(sample["img"][..., 0] == 255).tolist() == [[20, 501]]
        points = project(sample["keypoints_cam"], sample["focal"], sample["principal_pt"])
        np.testing.assert_allclose(points, sample["keypoints"][..., :2], rtol=1e-5)

    def test_is_the_flip_of_two_hands(self, samples):
        flipped = ToSingleHand()(RandomHandFlip(prob=1.0)(copy.deepcopy(samples[LEFT_HAND])))
        mirrored = MirrorLeftHand()(ToSingleHand()(samples[LEFT_HAND]))
        for key in copies_of_arrays(mirrored):
            np.testing.assert_array_equal(mirrored[key], flipped[key], err_msg=key)

    def test_refuses_two_hands_and_crops(self, samples):
        with pytest.raises(ValueError, match=r"expected 21 joints \(see ToSingleHand\).*got 42 joints"):
            MirrorLeftHand()(samples[LEFT_HAND])
        crop = TopdownAffine(input_size=(128, 128))(GetBBoxCenterScale()(ToSingleHand()(samples[LEFT_HAND])))
        with pytest.raises(ValueError, match="got 21 joints after it"):
            MirrorLeftHand()(crop)


class TestRotateCameraJoints:
    @pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 140.0])
    def test_turned_joints_project_to_the_turned_crop(self, samples, angle):
        """Crop point = scale * focal * X / Z + the principal point's own place in the crop."""
        jitter = RandomHandBBoxTransform()
        jitter._draw = lambda: (np.array([0.1, -0.05]), 1.1, angle)
        sample = jitter(GetBBoxCenterScale(padding=1.25)(ToSingleHand()(samples[LEFT_HAND])))  # fx = fy
        crop = RotateKeypoints3D()(TopdownAffine(input_size=(128, 128))(sample))
        warp = get_warp_matrix(crop["bbox_center"][0], crop["input_scale"], angle, (128, 128))
        center = warp @ [*crop["principal_pt"], 1]
        focal = crop["focal"] * 128 / crop["input_scale"]
        expected = project(crop["keypoints_cam"], focal, center)
        np.testing.assert_allclose(crop["transformed_keypoints"][..., :2], expected, atol=1e-2)

    def test_by_hand(self):
        # the box turns clockwise by 90 degrees, its content counter-clockwise: what was below is to the right
        turned = RotateKeypoints3D()(
            {"keypoints_cam": np.array([[[0.0, 5, 600]]], np.float32), "bbox_rotation": np.array([90.0])}
        )["keypoints_cam"]
        np.testing.assert_allclose(turned, [[[5, 0, 600]]], atol=1e-5)
        assert turned.dtype == np.float32

    @pytest.mark.parametrize("angle", [0.0, 40.0, -130.0])
    def test_depth_cubes_turn_the_same_way(self, angle, tmp_path):
        """Directions from the principal point, which is the cube's center here, in the turned crop and in space."""
        nyu_fixture.write_annotations(tmp_path, nyu_fixture.contents())
        nyu_fixture.write_images(tmp_path)
        sample = NYUDataset(split="test", data_root=str(tmp_path), pipeline=[{"type": "mmpose.LoadNYUDepth"}])[0]
        crop = CropDepthCube()(sample | {"cube_rotation": angle, "cube_scale": 1.2})
        turned = RotateKeypoints3D()(crop)["keypoints_cam"]
        in_crop = crop["transformed_keypoints"][0, :, :2] - crop["transformed_keypoints"][0, -1, :2]  # palm: center
        expected = project(turned, crop["focal"], (0, 0))[0]
        unit_in_crop, unit_expected = (
            part[:-1] / np.linalg.norm(part[:-1], axis=-1, keepdims=True) for part in (in_crop, expected)
        )
        np.testing.assert_allclose(unit_in_crop, unit_expected, atol=0.02)

    def test_without_a_turn_nothing_changes(self):
        joints = np.array([[[3.0, 5, 600]]], np.float32)
        np.testing.assert_array_equal(RotateKeypoints3D()({"keypoints_cam": joints})["keypoints_cam"], joints)


class TestAddViewRotation:
    def rotation(self, *center):
        return AddViewRotation()({"bbox_center": np.array([center])} | CAMERA)["view_rotation"]

    def test_by_hand(self):
        np.testing.assert_allclose(self.rotation(320.0, 240.0), np.eye(3))
        half = np.sqrt(0.5)  # 45 degrees to the right, 45 degrees up
        np.testing.assert_allclose(self.rotation(720.0, 240.0), [[half, 0, -half], [0, 1, 0], [half, 0, half]])
        np.testing.assert_allclose(self.rotation(320.0, -260.0), [[1, 0, 0], [0, half, half], [0, -half, half]])

    def test_equal_crops_get_equal_joints(self):
        """A stick across the line of sight looks the same before the camera and at its side: the targets must, too."""
        targets = []
        for degrees in (0, 40):
            side, away = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
            center, across = 600 * np.array([side, 0, away]), np.array([away, 0, -side])
            joints = (center + np.outer([-50, 0, 50], across))[None]
            sample = {"bbox_center": project(center, *CAMERA.values())[None], "keypoints_cam": joints} | CAMERA
            targets.append(RotateKeypoints3D()(AddViewRotation()(sample))["keypoints_cam"])
        np.testing.assert_allclose(targets[0], [[[-50, 0, 600], [0, 0, 600], [50, 0, 600]]], atol=1e-9)
        np.testing.assert_allclose(targets[1], targets[0], atol=1e-9)

    def test_the_crop_turns_about_the_line_of_sight(self):
        """First to the axis, then about it: the other way round gives other joints."""
        sample = {
            "keypoints_cam": np.array([[[600.0, 0, 600], [600, 7, 600]]]),
            "bbox_rotation": np.array([90.0]),
            "bbox_center": np.array([[720.0, 240.0]]),
        } | CAMERA
        turned = RotateKeypoints3D()(AddViewRotation()(sample))["keypoints_cam"]
        depth = 600 * np.sqrt(2)
        np.testing.assert_allclose(turned, [[[0, 0, depth], [7, 0, depth]]], atol=1e-9)

    def test_what_is_missing_is_named(self):
        with pytest.raises(ValueError, match="got no bbox_center, focal "):
            AddViewRotation()({"principal_pt": np.zeros(2)})


class TestAddBoneLength:
    def make(self, visible=()):
        joints = np.random.default_rng(0).uniform(-50, 50, (1, 21, 3))
        joints[0, [WRIST, MIDDLE1]] = [[0, 30, 500], [0, 0, 540]]
        flags = np.ones((1, 21))
        flags[0, list(visible)] = 0
        return AddBoneLength()({"keypoints_cam": joints, "keypoints_visible": flags})

    def test_by_hand(self):
        sample = self.make()
        assert sample["bone_length"].tolist() == [50]
        assert sample["keypoints_visible"].all()

    @pytest.mark.parametrize("joint", [WRIST, MIDDLE1])
    def test_without_the_bone_nothing_counts(self, joint):
        sample = self.make(visible=[joint])
        assert sample["bone_length"].tolist() == [0]
        assert not sample["keypoints_visible"].any()

    def test_other_joints_may_be_missing(self):
        assert self.make(visible=[0]).pop("keypoints_visible").sum() == 20

    def test_nyus_joints(self):
        joints = np.zeros((1, 14, 3))
        joints[0, 5] = 0, 3, 4  # middle_mid
        sample = {"keypoints_cam": joints, "keypoints_visible": np.ones((1, 14))}
        sample = AddBoneLength(("palm", "middle_mid"), num_joints=14)(sample)
        assert sample["bone_length"].tolist() == [5]

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match="bone: expected two joints of thumb4"):
            AddBoneLength(bone=("wrist", "palm"))
        with pytest.raises(ValueError, match=r"expected 21 joints, got 42 \(see ToSingleHand\)"):
            AddBoneLength()({"keypoints_cam": np.zeros((1, 42, 3)), "keypoints_visible": np.ones((1, 42))})


def test_examples_can_be_shown():
    assert repr(ToSingleHand()) == "ToSingleHand()"
    assert repr(MirrorLeftHand()) == "MirrorLeftHand()"
    assert repr(RotateKeypoints3D()) == "RotateKeypoints3D()"
    assert repr(AddViewRotation()) == "AddViewRotation()"
    assert repr(AddBoneLength()) == "AddBoneLength(bone=('wrist', 'middle1'), num_joints=21)"
