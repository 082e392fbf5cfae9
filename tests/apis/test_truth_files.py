"""Official annotations as a truth: adapter -> metric -> result file -> scoring gives the metric's own numbers."""

import shutil
from pathlib import Path

import assemblyhands_fixture
import dexycb_fixture
import interhand_fixture
import numpy as np
import nyu_fixture
import pytest
import rhp_fixture

from dfmamba.apis.truth_files import (
    read_dexycb_truth,
    read_interhand26m_truth,
    read_nyu_truth,
    read_rhp_truth,
)
from dfmamba.datasets import AssemblyHandsDataset, DexYCBDataset, InterHand26MDataset, NYUDataset, RHPDataset
from dfmamba.datasets.dexycb_recordings import Selection
from dfmamba.evaluation import (
    PROTOCOLS,
    RHPEPE,
    AssemblyHandsMPJPE,
    DexYCBMPJPE,
    InterHandMPJPE,
    NYUMeanError,
)
from dfmamba.evaluation.result_files import read_result_file, write_joints_json
from dfmamba.evaluation.scoring import match, score_tables

RHD_SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "rhd" / "test_rhd.json"
SELECTION = Selection(dexycb_fixture.SUBJECTS, dexycb_fixture.SERIALS, (0, 1, 2, 3),
                      dexycb_fixture.SEQUENCES_PER_SUBJECT)


def interhand26m(root):
    interhand_fixture.write_annotations(root, interhand_fixture.contents())
    interhand_fixture.write_images(root, interhand_fixture.contents())
    dataset = InterHand26MDataset(split="test", data_root=str(root), test_mode=True)
    return dataset, InterHandMPJPE, lambda: read_interhand26m_truth(
        root / "annotations" / "test" / "InterHand2.6M_test_data.json")


def rhp(root):
    path = rhp_fixture.write_rhp(root)
    return RHPDataset("test", data_root=str(root), test_mode=True), RHPEPE, lambda: read_rhp_truth(path)


def nyu(root):
    nyu_fixture.write_annotations(root, nyu_fixture.contents())
    nyu_fixture.write_images(root)
    dataset = NYUDataset("test", data_root=str(root), test_mode=True, centres="nyu_center_test.mat")
    return dataset, NYUMeanError, lambda: read_nyu_truth(root / "test" / "joint_data.mat")


def dexycb(root):
    dexycb_fixture.write_dexycb(root)
    dataset = DexYCBDataset("s0", "train", data_root=str(root), subjects=SELECTION.subjects, serials=SELECTION.serials,
                            sequences_per_subject=SELECTION.sequences_per_subject, test_mode=True, index_workers=1)
    return dataset, DexYCBMPJPE, lambda: read_dexycb_truth(root, "s0", "train", SELECTION)


def assemblyhands(root):
    content = assemblyhands_fixture.contents()
    del content["data"]["annotations"][1]  # a second camera, with which the file would hold the mean of both
    for annotation in content["data"]["annotations"]:
        annotation["joint_valid"] = [1] * 42  # the file has one entry a frame, whatever its cameras see
    assemblyhands_fixture.write_annotations(root, content)
    assemblyhands_fixture.write_images(root, assemblyhands_fixture.contents())
    dataset = AssemblyHandsDataset("val", data_root=str(root), test_mode=True)
    return dataset, AssemblyHandsMPJPE, lambda: read_result_file("assemblyhands", assemblyhands_fixture.paths(root)[2])


SETS = {"interhand26m": interhand26m, "rhp": rhp, "nyu": nyu, "dexycb": dexycb, "assemblyhands": assemblyhands}


def predict(dataset, change):
    """Samples of a data set as they come to a metric, with the truth, changed in camera space, as the prediction."""
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        sample["gt_instances"] = {name: sample[name] for name in ("keypoints_cam", "keypoints_visible")}
        sample["pred_instances"] = {"keypoints_cam": change(sample["keypoints_cam"])}
        yield sample


@pytest.mark.parametrize("name", SETS)
def test_a_moved_joint_is_5_mm_in_the_metric_and_in_the_file(name, tmp_path):
    dataset, metric_class, read_truth = SETS[name](tmp_path / "data")
    joints = PROTOCOLS[name].skeleton.num_joints
    offset = np.zeros((joints, 3))
    offset[np.arange(joints) % 21 != 20] = 3, 4, 0

    path = tmp_path / "predictions"
    metric = metric_class(result_file=str(path))
    metric.process(None, list(predict(dataset, lambda truth: truth + offset)))
    measured = {key.split("/")[1]: value for key, value in metric.evaluate(len(dataset)).items()}
    truth = read_truth()
    scores, _ = score_tables(name, read_result_file(name, path), truth, partial=name == "assemblyhands")

    assert measured[PROTOCOLS[name].main] == pytest.approx(5 if name == "nyu" else 5 * 20 / 21, abs=1e-3)
    assert scores.metrics[PROTOCOLS[name].main] == pytest.approx(measured[PROTOCOLS[name].main], abs=1e-3)
    if name != "assemblyhands":
        assert scores.metrics == pytest.approx(measured, abs=1e-3, nan_ok=True)


def test_hand3ds_numbers_need_no_visible_bone(tmp_path):
    """In frame 2 only the last four joints of the right hand are seen: no wrist, no middle finger; it counts."""
    dataset, _, read_truth = rhp(tmp_path)
    metric = RHPEPE()
    rng = np.random.default_rng(0)
    metric.process(None, list(predict(dataset, lambda truth: rng.normal(scale=40, loc=(0, 0, 500), size=truth.shape))))
    metrics = metric.evaluate(len(dataset))
    assert metrics["rhp/hands_hand3d"] == len(dataset) == 4
    assert metrics["rhp/hands_palm_bonescaled"] == 3
    truth = read_truth()
    assert truth.fields["seen"].sum(axis=1).tolist() == [21, 21, 4, 21]
    path = tmp_path / "truth.json"
    write_joints_json("rhp", path, truth, truth=True)
    back = read_result_file("rhp", path)
    for field in ("seen", "all_joints_mm"):
        np.testing.assert_allclose(back.fields[field], truth.fields[field], atol=1e-4)
    assert (back.valid == truth.valid).all()


@pytest.mark.parametrize(("hand", "expected"), [("most_visible", [0, 1, 1, 0]), ("right", [0, 0, 0, 0])])
def test_the_hand_may_be_chosen_without_masks(hand, expected, tmp_path):
    path = rhp_fixture.write_rhp(tmp_path)
    shutil.rmtree(path.parent / "mask")
    with pytest.raises(FileNotFoundError, match=r"no such file: .*00000.png .a mask.*score.py --hand most_visible"):
        read_rhp_truth(path)
    assert np.argmax(read_rhp_truth(path, hand=hand).fields["seen"].reshape(-1, 2, 21).any(axis=2), axis=1
                     ).tolist() == expected


@pytest.mark.parametrize("name", ["interhand26m", "rhp", "nyu", "dexycb"])
def test_the_truth_is_the_adapters(name, tmp_path):
    dataset, _, read_truth = SETS[name](tmp_path / "data")
    truth = read_truth()
    row_of = {identity: row for row, identity in enumerate(truth.ids) if truth.valid[row].any()}
    assert len(row_of) == len(dataset)
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        row = row_of[sample["id"]]
        valid = sample["keypoints_visible"][0] > 0
        assert (truth.valid[row] == valid).all()
        np.testing.assert_allclose(truth.joints_mm[row][valid], sample["keypoints_cam"][0][valid], atol=1e-3)


def test_real_rhd_samples():
    """A perfect prediction, one in which the hands' joints come in RHD's order: wrist first."""
    if not RHD_SAMPLES.is_file():
        pytest.skip(f"the three published samples are not at {RHD_SAMPLES}")
    truth = read_rhp_truth(RHD_SAMPLES)
    assert score_tables("rhp", truth, truth)[0].metrics["EPE_rr_macro_mm"] == 0
    wrong = truth.joints_mm.copy()
    for start in (0, 21):
        wrong[:, start : start + 21] = wrong[:, start + np.roll(np.arange(21), 1)]
    pred = truth.__class__(truth.ids, wrong, truth.valid)
    assert score_tables("rhp", pred, truth)[0].metrics["EPE_rr_macro_mm"] > 20
    assert match(pred, truth).notes == []


def test_what_is_no_annotation_file(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(ValueError, match=r"other.json: expected a JSON of ours .* or InterHand2.6M's \*_data.json"):
        read_interhand26m_truth(other)
    (tmp_path / "x_data.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"x_camera.json .one of the three annotation files of a split"):
        read_interhand26m_truth(tmp_path / "x_data.json")
    with pytest.raises(ValueError, match="setup: expected one of"):
        read_dexycb_truth(tmp_path, "s9")
