"""Writer -> adapter -> protocol: neither side imports the other, and the raw files are read here a third time."""

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from dfmamba.datasets import NYUDataset
from dfmamba.datasets.nyu.results import read_nyu_text, write_nyu_text
from dfmamba.datasets.transforms.depth import A2J_MEAN_MM, A2J_STD_MM
from dfmamba.evaluation import score_nyu
from dfmamba.evaluation.protocol import JointTable
from dfmamba.geometry import back_project
from dfmamba.synthesis import nyu

pytestmark = pytest.mark.slow

EVALUATED = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]  # of the 36, as A2J and V2V-PoseNet list them
PINKY_TIP, THUMB_TIP, PALM = 0, 8, 13  # among the 14
CENTERS, V2V_CENTERS = "nyu_center_test.mat", "center_test_refined.txt"
CROP = [{"type": "mmpose.LoadNYUDepth"}, {"type": "mmpose.CropDepthCube"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three frames, the images of camera 1 only: an ordinary one, a hand that the border cuts, one without a center."""
    folder = tmp_path_factory.mktemp("nyu")
    save_images = nyu._save_images
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nyu, "MIN_IMAGES_FOR_ODD", 1)
        patch.setattr(nyu, "CUT_PLACE", 1)
        patch.setattr(nyu, "INVALID_PLACE", 2)
        patch.setattr(
            nyu,
            "_save_images",
            lambda frame, scene, camera, wall: (
                save_images(frame, scene, camera, wall) if camera.name == "1" else None
            ),
        )
        nyu.write_nyu(folder, {"test": 3}, seed=0)
    return folder


@pytest.fixture(scope="module")
def raw(root):
    return loadmat(root / "test/joint_data.mat")


def samples_of(root, **arguments):
    dataset = NYUDataset("test", str(root), **{"centers": CENTERS} | arguments)
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize("gt", ["joint_uvd", "joint_xyz"])
def test_joints_are_those_of_the_file(root, raw, gt):
    samples = samples_of(root, gt=gt)
    assert [sample["id"] for sample in samples] == [1, 2, 3]
    for frame, sample in enumerate(samples):
        x, y, z = raw["joint_xyz"][0, frame, EVALUATED].T
        np.testing.assert_allclose(sample["keypoints_cam"][0], np.stack([x, -y, z], axis=1), rtol=1e-5, atol=1e-3)
        u, v, d = raw["joint_uvd"][0, frame, EVALUATED].T
        np.testing.assert_allclose(sample["keypoints"][0, :, :2], np.stack([u, v], axis=1), rtol=1e-5)
        np.testing.assert_allclose(sample["keypoints"][0, :, 2] + sample["root_depth"], d, rtol=1e-5)


@pytest.mark.parametrize("camera", [2, 3])
def test_other_cameras_see_the_same_hand(root, camera):
    first, other = samples_of(root, centers="joints")[0], samples_of(root, centers="joints", camera=camera)[0]
    assert np.abs(first["keypoints_cam"] - other["keypoints_cam"]).max() > 50
    spans = [
        np.linalg.norm(sample["keypoints_cam"][0, THUMB_TIP] - sample["keypoints_cam"][0, PINKY_TIP])
        for sample in (first, other)
    ]
    assert spans[0] == pytest.approx(spans[1], rel=1e-5)


def test_centers(root, raw):
    """A network's center is some mm from the joints' mean; A2J's and V2V's files say the same, but for one frame."""
    a2j, v2v, mean = (samples_of(root, centers=centers) for centers in (CENTERS, V2V_CENTERS, "joints"))
    assert [sample["id"] for sample in v2v] == [1, 2]  # the third is 'invalid'
    for one, other in zip(a2j, v2v, strict=False):
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1e-2)
        np.testing.assert_allclose(one["root_depth"], other["root_depth"], atol=1e-2)
    for frame, (one, other) in enumerate(zip(a2j, mean, strict=True)):
        assert one["root_depth"][0] == pytest.approx(loadmat(root / CENTERS)["centre_pixel"][frame, 0, 2])
        assert other["root_depth"][0] == pytest.approx(raw["joint_uvd"][0, frame, EVALUATED, 2].mean())
        assert 0.01 < abs(one["root_depth"][0] - other["root_depth"][0]) < 30


def test_hand_is_in_the_cube(root, raw):
    """The image, decoded here, has skin some mm before most joints; the crop has the same, relative to the center."""
    samples, dataset = samples_of(root), NYUDataset("test", str(root), centers=CENTERS, pipeline=CROP)
    for frame in (0, 2):
        image = cv2.imread(samples[frame]["img_path"])
        depth = 256 * image[..., 1].astype(int) + image[..., 0]
        u, v, d = raw["joint_uvd"][0, frame, EVALUATED].T
        reading = depth[np.rint(v).astype(int), np.rint(u).astype(int)]
        assert 0 < np.median((d - reading)[reading > 0]) < 30
        crop = dataset[frame]
        columns, rows = np.rint(crop["transformed_keypoints"][0, :, :2]).astype(int).T
        value = crop["img"][rows.clip(0, 175), columns.clip(0, 175), 0] * A2J_STD_MM + A2J_MEAN_MM
        assert np.median(np.abs(value + samples[frame]["root_depth"] - reading)) < 3


def test_hand_that_the_border_cuts(root):
    sample = samples_of(root)[1]
    box = sample["bbox"][0]
    assert (box[:2] < 0).any() or (box[2:] > [639, 479]).any()
    crop = NYUDataset("test", str(root), centers=CENTERS, pipeline=CROP)[1]
    assert crop["img"].shape == (176, 176, 1)
    assert np.isfinite(crop["img"]).all()
    assert (crop["input_scale"] < box[2:] - box[:2]).any()


def test_protocol_and_result_file(root, tmp_path):
    """A perfect prediction has no error, also through the text file; a joint off by 3-4-0 mm gives 5 mm."""
    samples = samples_of(root)
    gt = np.array([sample["keypoints_cam"][0] for sample in samples])
    pred = np.array(
        [
            back_project(
                s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"]
            )
            for s in samples
        ]
    )
    write_nyu_text(tmp_path / "result.txt", JointTable([1, 2, 3], pred, np.ones(pred.shape[:2], dtype=bool)))
    for joints in (pred, read_nyu_text(tmp_path / "result.txt").joints_mm):
        perfect = score_nyu(joints, gt).metrics
        assert perfect["mean_error_abs_mm"] == pytest.approx(0, abs=2e-3)
        assert perfect["success_max_frame_10_mm"] == 1
        assert perfect["frames"] == 3
    pred[1, PALM] += [3, 4, 0]
    assert score_nyu(pred, gt).metrics["mean_error_abs_mm"] == pytest.approx(5 / (3 * 14), abs=1e-3)
    gt_file = loadmat(root / "nyu_keypointsUVD_test.mat")["keypoints3D"]  # A2J's ground truth
    np.testing.assert_allclose(
        gt_file,
        np.concatenate([np.array([s["keypoints"][0, :, :2] for s in samples]), gt[..., 2:]], axis=-1),
        rtol=1e-5,
    )
