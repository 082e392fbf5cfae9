"""Writer -> adapter -> protocol: neither side imports the other, and the raw files are read here a third time."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from dfmamba.datasets.dexycb.dataset import DexYCBDataset
from dfmamba.datasets.dexycb.results import read_dexycb_text, write_dexycb_text
from dfmamba.evaluation import score_dexycb
from dfmamba.evaluation.protocol import JointTable
from dfmamba.geometry import back_project, move_rigidly
from dfmamba.skeleton import ONE_HAND
from dfmamba.synthesis import dexycb, dexycb_plan

pytestmark = pytest.mark.slow

SERIALS = ("836212060125", "839512060362", "840412060917")  # three of the eight cameras, for speed
OFFICIAL = [
    "wrist",
    *(f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in (1, 2, 3, 4)),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A synthetic set: s0's train has one recording with two frames, the first without a hand; its test one frame."""
    folder = tmp_path_factory.mktemp("dexycb")
    make_rig = dexycb.make_rig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dexycb_plan, "MIN_RECORDINGS", 1)
        patch.setattr(dexycb, "make_rig", lambda *arguments: make_rig(*arguments)[:3])
        dexycb.write_dexycb(folder, {"train": 16, "test": 8}, seed=0)
    return folder


def dataset_at(root, split="train", **arguments):
    return DexYCBDataset("s0", split, data_root=str(root), serials=SERIALS, **arguments)


def samples_of(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize(("split", "ids"), [("train", [1, 3, 5]), ("test", [0, 1, 2])])
def test_ids_and_labels_are_those_of_the_files(root, split, ids):
    """Camera-major: of two frames of three cameras, those with a hand are numbers 1, 3 and 5."""
    dataset = dataset_at(root, split)
    samples = samples_of(dataset)
    assert [sample["id"] for sample in samples] == ids
    assert [sample["camera"] for sample in samples] == list(SERIALS)
    assert dataset.index.skipped.get("no hand", 0) == (3 if split == "train" else 0)
    for sample in samples:
        image = Path(sample["img_path"])
        with np.load(image.with_name(image.name.replace("color", "labels")).with_suffix(".npz")) as file:
            labels = dict(file)
        assert image.is_file()
        for joint, name in enumerate(ONE_HAND.names):
            place = OFFICIAL.index(name)
            np.testing.assert_allclose(
                sample["keypoints_cam"][0, joint], 1000 * labels["joint_3d"][0, place], rtol=1e-5
            )
            np.testing.assert_allclose(sample["keypoints"][0, joint, :2], labels["joint_2d"][0, place], atol=1e-2)
        side = yaml.safe_load((image.parents[1] / "meta.yml").read_text())["mano_sides"][0]
        assert sample["hand_type"].tolist() == [[float(side == "right"), float(side == "left")]]
        rows, columns = np.nonzero(labels["seg"] == 255)
        seen = next(s for s in samples_of(dataset_at(root, split, box="segmentation")) if s["id"] == sample["id"])
        assert seen["bbox"].tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


def test_both_sides_are_there(root):
    sides = [samples_of(dataset_at(root, split))[0]["hand_type"].tolist() for split in ("train", "test")]
    assert sorted(sides) == [[[0, 1]], [[1, 0]]]


def test_cameras_see_one_hand(root):
    """Each camera's joints, moved to the world by its extrinsics (R X + t, camera to world), are the same hand."""
    samples = samples_of(dataset_at(root))
    name = yaml.safe_load((Path(samples[0]["img_path"]).parents[1] / "meta.yml").read_text())["extrinsics"]
    text = (root / f"calibration/extrinsics_{name}/extrinsics.yml").read_text()
    extrinsics = yaml.load(text, yaml.FullLoader)["extrinsics"]  # tuples, as the official files have them
    world = []
    for sample in samples:
        matrix = np.reshape(extrinsics[sample["camera"]], (3, 4))
        world.append(move_rigidly(sample["keypoints_cam"][0], matrix[:, :3], 1000 * matrix[:, 3]))
    assert np.abs(samples[0]["keypoints_cam"] - samples[1]["keypoints_cam"]).max() > 50
    np.testing.assert_allclose(world[1], world[0], atol=0.01)
    np.testing.assert_allclose(world[2], world[0], atol=0.01)


def test_protocol_and_result_file(root, tmp_path):
    """A perfect prediction has no error, also through the file of 64 numbers; a joint off by 3-4-0 mm gives 5 mm."""
    samples = [sample for split in ("train", "test") for sample in samples_of(dataset_at(root, split))]
    gt = np.array([sample["keypoints_cam"][0] for sample in samples])
    pred = np.array(
        [
            back_project(
                s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"]
            )
            for s in samples
        ]
    )
    write_dexycb_text(tmp_path / "result.txt", JointTable(range(6), pred, np.ones(pred.shape[:2], dtype=bool)))
    for joints in (pred, read_dexycb_text(tmp_path / "result.txt").joints_mm):
        perfect = score_dexycb(joints, gt).metrics
        for alignment in ("abs", "rr", "PA"):
            assert perfect[f"AUC_{alignment}_0_50_mm"] == pytest.approx(1, abs=0.01)  # the first point is 0 mm
        assert perfect["MPJPE_abs_macro_mm"] == pytest.approx(0, abs=1e-3)
        assert perfect["hands"] == 6
    pred[2, 5] += [3, 4, 0]
    moved = score_dexycb(pred, gt).metrics
    assert moved["MPJPE_abs_macro_mm"] == pytest.approx(5 / 6 / 21, abs=1e-3)
    assert moved["MPJPE_rr_macro_mm"] == pytest.approx(5 / 6 / 21, abs=1e-3)
