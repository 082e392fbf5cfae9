"""Writer -> adapter -> protocol: neither side imports the other, and the raw files are read here a third time."""

import json

import cv2
import numpy as np
import pytest

from dfmamba.datasets import AssemblyHandsDataset
from dfmamba.evaluation import score_assemblyhands
from dfmamba.geometry import back_project
from dfmamba.skeleton import LEFT, RIGHT, hand_slice
from dfmamba.synthesis import assemblyhands

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Six frames of val, so that each kind of odd record is there, seen by one camera each; one frame of test."""
    folder = tmp_path_factory.mktemp("assemblyhands")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemblyhands, "VIEWS_PER_FRAME", 1)
        patch.setattr(assemblyhands, "MIN_IMAGES_FOR_ODD", 6)
        assemblyhands.write_assemblyhands(folder, {"val": 6, "test": 1}, seed=0)
    return folder


def content(root, kind, split="val"):
    return json.loads((root / f"annotations/{split}/assemblyhands_{split}_{kind}_v1-1.json").read_text())


def hands_of_the_files(root):
    """Yield (annotation id, side, flags (21,), joints (21, 3) in the camera, pixels (21, 2)) of a hand with a box."""
    data, calibration = content(root, "ego_data"), content(root, "ego_calib")["calibration"]
    joints = content(root, "joint_3d")["annotations"]
    images = {image["id"]: image for image in data["images"]}
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        frame, camera = str(image["frame_idx"]).zfill(6), image["camera"] + "_mono10bit"
        world = np.array(joints[image["seq_name"]][frame]["world_coord"])
        matrix = np.array(calibration[image["seq_name"]]["extrinsics"][frame][camera])
        homogeneous = np.hstack([world, np.ones((42, 1))]) @ matrix.T
        pixels = homogeneous @ np.array(calibration[image["seq_name"]]["intrinsics"][camera]).T
        for side, block in (("right", slice(0, 21)), ("left", slice(21, 42))):
            if annotation["bbox"][side] is not None:
                flags = np.array(annotation["joint_valid"][block]) > 0
                yield annotation["id"], side, flags, homogeneous[block], pixels[block, :2] / pixels[block, 2:]


def dataset_at(root, split="val", **arguments):
    return AssemblyHandsDataset(split, str(root), **arguments)


def samples_of(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def side_of(sample):
    return LEFT if sample["hand_type"][0, LEFT] else RIGHT


def test_hands_are_those_of_the_files(root):
    """Right before left; too few joints or no wrist: left out, by the flags of the raw file."""
    dataset = dataset_at(root)
    samples = samples_of(dataset)
    hands = list(hands_of_the_files(root))
    few = [hand for hand in hands if hand[2].sum() < 10]
    rootless = [hand for hand in hands if hand[2].sum() >= 10 and not hand[2][20]]
    assert dataset.index.skipped == {"fewer than 10 valid joints": len(few), "root invalid": len(rootless)}
    assert len(few) >= 1
    assert len(rootless) >= 1
    kept = [hand for hand in hands if hand[2].sum() >= 10 and hand[2][20]]
    assert [(sample["id"], ("right", "left")[side_of(sample)]) for sample in samples] == [hand[:2] for hand in kept]
    assert {side_of(sample) for sample in samples} == {RIGHT, LEFT}
    for sample, (_, _, flags, joints, pixels) in zip(samples, kept, strict=True):
        block, other = hand_slice(side_of(sample)), hand_slice(1 - side_of(sample))
        assert (sample["keypoints_visible"][0, block] > 0).tolist() == flags.tolist()
        assert not sample["keypoints_visible"][0, other].any()
        np.testing.assert_allclose(sample["keypoints_cam"][0, block][flags], joints[flags], rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(sample["keypoints"][0, block, :2][flags], pixels[flags], atol=2e-2)
        assert sample["abs_depth"][side_of(sample)] == pytest.approx(joints[20, 2], abs=1e-2)
    assert any(not flags.all() for _, _, flags, _, _ in kept)


def test_boxes_hold_the_joints_in_the_image(root):
    """The writer's boxes are the tight box times 1.2, cut at the border."""
    for sample in samples_of(dataset_at(root)):
        points = sample["keypoints"][0, sample["keypoints_visible"][0] > 0, :2]
        inside = points[((points >= 0) & (points <= [635, 479])).all(axis=1)]
        box = sample["bbox"][0]
        assert len(inside)
        assert ((inside >= box[:2]) & (inside <= box[2:])).all()


def test_images_are_there_and_grey(root):
    for sample in samples_of(dataset_at(root)):
        image = cv2.imread(sample["img_path"], cv2.IMREAD_UNCHANGED)
        assert image.shape[:2] == (480, 636)
        assert image.ndim == 2 or np.ptp(image, axis=2).max() == 0


def test_both_headsets_and_the_grid_of_frames(root):
    samples = samples_of(dataset_at(root))
    assert {sample["camera"][:7] for sample in samples} == {"HMC_211", "HMC_843"}
    assert len({sample["seq_name"] for sample in samples}) == 2
    assert {sample["frame_idx"] % 2 for sample in samples} == {0}


def test_coordinates_of_the_test_split_are_withheld(root):
    with pytest.raises(ValueError, match=r"got none: .*coordinates withheld"):
        len(dataset_at(root, "test"))


def test_protocol(root):
    """A perfect prediction has no error; one joint of one hand off by 3-4-0 mm gives what the definition says."""
    samples = samples_of(dataset_at(root))
    gt, valid = (np.array([sample[key][0] for sample in samples]) for key in ("keypoints_cam", "keypoints_visible"))
    pred = np.array(
        [
            back_project(
                s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"]
            )
            for s in samples
        ]
    )
    perfect = score_assemblyhands(pred, gt, valid).metrics
    for name in ("MPJPE_rr_macro_mm", "MPJPE_rr_pooled_hands_mm", "MPJPE_rr_bonescaled_pooled_hands_mm"):
        assert perfect[name] == pytest.approx(0, abs=2e-3), name
    assert perfect["AUC_rr_20_50_mm"] == 1
    assert perfect["hands"] == len(samples)
    joint = hand_slice(side_of(samples[0])).start + 4  # the index finger's tip
    pred[0, joint] += [3, 4, 0]
    moved = score_assemblyhands(pred, gt, valid).metrics["MPJPE_rr_macro_mm"]
    assert valid[0, joint]
    assert valid.any(axis=0).all()
    assert moved == pytest.approx(5 / valid[:, joint].sum() / 42, abs=1e-3)
