"""Official annotations as ground truth: adapter -> metric -> result file -> scoring gives the metric's own numbers."""

import json
import shutil
from pathlib import Path

import assemblyhands_fixture
import dexycb_fixture
import interhand_fixture
import numpy as np
import nyu_fixture
import pytest
import rhp_fixture

import dfmamba.datasets.rhp.results as rhp_results
from dfmamba.datasets import AssemblyHandsDataset, DexYCBDataset, InterHand26MDataset, NYUDataset, RHPDataset, spec
from dfmamba.datasets.assemblyhands.ground_truth import read_assemblyhands_gt
from dfmamba.datasets.dexycb.ground_truth import read_dexycb_gt
from dfmamba.datasets.dexycb.recordings import Selection
from dfmamba.datasets.interhand26m.ground_truth import read_interhand26m_gt
from dfmamba.datasets.nyu.ground_truth import read_nyu_gt
from dfmamba.datasets.rhp.ground_truth import read_rhp_gt
from dfmamba.evaluation import (
    PROTOCOLS,
    RHPEPE,
    AssemblyHandsMPJPE,
    DexYCBMPJPE,
    InterHandMPJPE,
    NYUMeanError,
)
from dfmamba.evaluation.result_files import read_result_file
from dfmamba.evaluation.score_tables import match, score_tables

RHD_SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "rhd" / "test_rhd.json"
SELECTION = Selection(
    dexycb_fixture.SUBJECTS, dexycb_fixture.SERIALS, (0, 1, 2, 3), dexycb_fixture.SEQUENCES_PER_SUBJECT
)


def interhand26m(root):
    interhand_fixture.write_annotations(root, interhand_fixture.contents())
    interhand_fixture.write_images(root, interhand_fixture.contents())
    dataset = InterHand26MDataset(split="test", data_root=str(root), test_mode=True)
    return (
        dataset,
        InterHandMPJPE,
        lambda: read_interhand26m_gt(root / "annotations" / "test" / "InterHand2.6M_test_data.json"),
    )


def rhp(root):
    path = rhp_fixture.write_rhp(root)
    return RHPDataset("test", data_root=str(root), test_mode=True), RHPEPE, lambda: read_rhp_gt(path)


def nyu(root):
    nyu_fixture.write_annotations(root, nyu_fixture.contents())
    nyu_fixture.write_images(root)
    dataset = NYUDataset("test", data_root=str(root), test_mode=True, centers="nyu_center_test.mat")
    return dataset, NYUMeanError, lambda: read_nyu_gt(root / "test" / "joint_data.mat")


def dexycb(root):
    dexycb_fixture.write_dexycb(root)
    dataset = DexYCBDataset(
        "s0",
        "train",
        data_root=str(root),
        subjects=SELECTION.subjects,
        serials=SELECTION.serials,
        sequences_per_subject=SELECTION.sequences_per_subject,
        test_mode=True,
        index_workers=1,
    )
    return dataset, DexYCBMPJPE, lambda: read_dexycb_gt(root, "s0", "train", SELECTION)


def assemblyhands(root, all_valid=False):
    content = assemblyhands_fixture.contents()
    for annotation in content["data"]["annotations"]:
        annotation["joint_valid"] = [1] * 42 if all_valid else annotation["joint_valid"]
    assemblyhands_fixture.write_annotations(root, content)
    assemblyhands_fixture.write_images(root, assemblyhands_fixture.contents())
    dataset = AssemblyHandsDataset("val", data_root=str(root), test_mode=True)
    return dataset, AssemblyHandsMPJPE, lambda: read_assemblyhands_gt(assemblyhands_fixture.paths(root)[0])


SETS = {"interhand26m": interhand26m, "rhp": rhp, "nyu": nyu, "dexycb": dexycb, "assemblyhands": assemblyhands}


def predict(dataset, change):
    """Samples as they come to a metric, with the ground truth, changed in camera space, as the prediction."""
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        sample["gt_instances"] = {name: sample[name] for name in ("keypoints_cam", "keypoints_visible")}
        sample["pred_instances"] = {"keypoints_cam": change(sample["keypoints_cam"])}
        yield sample


@pytest.mark.parametrize("name", SETS)
def test_a_moved_joint_is_5_mm_in_the_metric_and_in_the_file(name, tmp_path):
    dataset, metric_class, read_gt = SETS[name](tmp_path / "data")
    joints = PROTOCOLS[name].skeleton.num_joints
    offset = np.zeros((joints, 3))
    offset[np.arange(joints) % 21 != 20] = 3, 4, 0

    path = tmp_path / "predictions"
    metric = metric_class(result_file=str(path))
    metric.process(None, list(predict(dataset, lambda gt: gt + offset)))
    measured = {key.split("/")[1]: value for key, value in metric.evaluate(len(dataset)).items()}
    gt = read_gt()
    scores, notes = score_tables(name, spec.data_set(name).results.read_pred(path, gt), gt)

    assert measured[PROTOCOLS[name].main] == pytest.approx(5 if name == "nyu" else 5 * 20 / 21, abs=1e-3)
    assert scores.metrics[PROTOCOLS[name].main] == pytest.approx(measured[PROTOCOLS[name].main], abs=1e-3)
    assert scores.metrics == pytest.approx(measured, abs=1e-3, nan_ok=True)
    assert notes == []


def test_assemblyhands_by_frame_and_by_camera_image(tmp_path):
    """Left hand, frame 10: one camera sees its index finger's tip 10 mm off, the other one does not; frame 2: 6 mm."""
    dataset, _, read_gt = assemblyhands(tmp_path / "data", all_valid=True)
    path, joint = tmp_path / "predictions.json", 21 + 4
    samples = list(predict(dataset, lambda gt: gt.copy()))
    for sample in samples:
        off = {("HMC_84346135", 10): 10, ("HMC_21176875", 2): 6}.get((sample["camera"], sample["frame_idx"]), 0)
        sample["pred_instances"]["keypoints_cam"][0, joint, 2] += off
    metric = AssemblyHandsMPJPE(result_file=str(path))
    metric.process(None, samples)
    measured = {key.split("/")[1]: value for key, value in metric.evaluate(len(dataset)).items()}
    valid = [sample["keypoints_visible"][0, joint] > 0 for sample in samples]
    assert sum(valid) == 4  # images of that hand: two of frame 10, one of frames 2 and 4 each
    assert measured["MPJPE_rr_macro_mm"] == pytest.approx((10 + 0 + 6 + 0) / 4 / 42, abs=1e-3)

    by_frame = read_result_file("assemblyhands", assemblyhands_fixture.paths(tmp_path / "data")[2])
    scores, _ = score_tables("assemblyhands", read_result_file("assemblyhands", path), by_frame, partial=True)
    assert scores.metrics["MPJPE_rr_macro_mm_per_frame"] == pytest.approx(((10 + 0) / 2 + 6 + 0) / 3 / 42, abs=1e-3)
    assert (scores.metrics["hands_per_frame"], measured["hands"]) == (7, 8)
    assert not {name for name in scores.metrics if not name.endswith("_per_frame")}

    merged, notes = score_tables("assemblyhands", read_result_file("assemblyhands", path), read_gt())
    assert notes == [f"{path}: has no predictions by camera; each frame's counts in all of its images"]
    assert merged.metrics["MPJPE_rr_macro_mm"] == pytest.approx((5 + 5 + 6 + 0) / 4 / 42, abs=1e-3)
    content = json.loads(path.read_text())
    for frames in content["annotations"].values():
        for entry in frames.values():
            del entry["cameras"]  # as everybody else writes it
    path.write_text(json.dumps(content))
    again, _ = score_tables("assemblyhands", read_result_file("assemblyhands", path), read_gt())
    assert again.metrics == merged.metrics


def test_withheld_labels_are_no_gt(tmp_path):
    """[1, 1, 1] everywhere in frames that say that all joints are valid, as in the held-out splits."""
    assemblyhands(tmp_path)
    path = assemblyhands_fixture.paths(tmp_path)[2]
    content = json.loads(path.read_text())
    table = read_result_file("assemblyhands", path)
    for frames in content["annotations"].values():
        for entry in frames.values():
            entry["world_coord"] = [[1.0, 1.0, 1.0]] * 42
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"joint_3d.*expected annotated joints, got none. Are they withheld"):
        score_tables("assemblyhands", table, read_result_file("assemblyhands", path))


def test_files_beside_assemblyhands_annotation(tmp_path):
    assemblyhands(tmp_path)
    data, calib, _ = assemblyhands_fixture.paths(tmp_path)
    calib.unlink()
    with pytest.raises(FileNotFoundError, match=r"ego_calib_v1-1.json .one of the annotation files of a split"):
        read_assemblyhands_gt(data)


def test_hand3ds_numbers_need_no_visible_bone(tmp_path):
    """In frame 2 only the last four joints of the right hand are seen: no wrist, no middle finger; it counts."""
    dataset, _, read_gt = rhp(tmp_path)
    metric = RHPEPE()
    rng = np.random.default_rng(0)
    metric.process(None, list(predict(dataset, lambda gt: rng.normal(scale=40, loc=(0, 0, 500), size=gt.shape))))
    metrics = metric.evaluate(len(dataset))
    assert metrics["rhp/hands_hand3d"] == len(dataset) == 4
    assert metrics["rhp/hands_palm_bonescaled"] == 3
    gt = read_gt()
    assert gt.fields["seen"].sum(axis=1).tolist() == [21, 21, 4, 21]
    path = tmp_path / "truth.json"
    rhp_results.JOINTS_JSON.write(path, gt, gt=True)
    back = read_result_file("rhp", path)
    for field in ("seen", "all_joints_mm"):
        np.testing.assert_allclose(back.fields[field], gt.fields[field], atol=1e-4)
    assert (back.valid == gt.valid).all()


@pytest.mark.parametrize(("hand", "expected"), [("most_visible", [0, 1, 1, 0]), ("right", [0, 0, 0, 0])])
def test_the_hand_may_be_chosen_without_masks(hand, expected, tmp_path):
    path = rhp_fixture.write_rhp(tmp_path)
    shutil.rmtree(path.parent / "mask")
    with pytest.raises(FileNotFoundError, match=r"no such file: .*00000.png .a mask.*score.py --hand most_visible"):
        read_rhp_gt(path)
    assert (
        np.argmax(read_rhp_gt(path, hand=hand).fields["seen"].reshape(-1, 2, 21).any(axis=2), axis=1).tolist()
        == expected
    )


@pytest.mark.parametrize("name", sorted(set(SETS) - {"assemblyhands"}))  # its ground truth is in the world's frame
def test_the_gt_is_the_adapters(name, tmp_path):
    dataset, _, read_gt = SETS[name](tmp_path / "data")
    gt = read_gt()
    row_of = {identity: row for row, identity in enumerate(gt.ids) if gt.valid[row].any()}
    assert len(row_of) == len(dataset)
    for index in range(len(dataset)):
        sample = dataset.get_data_info(index)
        row = row_of[sample["id"]]
        valid = sample["keypoints_visible"][0] > 0
        assert (gt.valid[row] == valid).all()
        np.testing.assert_allclose(gt.joints_mm[row][valid], sample["keypoints_cam"][0][valid], atol=1e-3)


def test_real_rhd_samples():
    """A perfect prediction, one in which the hands' joints come in RHD's order: wrist first."""
    if not RHD_SAMPLES.is_file():
        pytest.skip(f"the three published samples are not at {RHD_SAMPLES}")
    gt = read_rhp_gt(RHD_SAMPLES)
    assert score_tables("rhp", gt, gt)[0].metrics["EPE_rr_macro_mm"] == 0
    wrong = gt.joints_mm.copy()
    for start in (0, 21):
        wrong[:, start : start + 21] = wrong[:, start + np.roll(np.arange(21), 1)]
    pred = gt.__class__(gt.ids, wrong, gt.valid)
    assert score_tables("rhp", pred, gt)[0].metrics["EPE_rr_macro_mm"] > 20
    assert match(pred, gt).notes == []


def test_what_is_no_annotation_file(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(ValueError, match=r"other.json: expected a JSON of ours .* or InterHand2.6M's \*_data.json"):
        read_interhand26m_gt(other)
    (tmp_path / "x_data.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"x_camera.json .one of the annotation files of a split"):
        read_interhand26m_gt(tmp_path / "x_data.json")
    with pytest.raises(ValueError, match="setup: expected one of"):
        read_dexycb_gt(tmp_path, "s9")
