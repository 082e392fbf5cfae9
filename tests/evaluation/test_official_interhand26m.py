"""InterHand2.6M's official evaluation, written out from its definition, beside ours: on records of every kind.

The definition is that of `Dataset.evaluate` in data/InterHand2.6M/dataset.py of facebookresearch/InterHand2.6M: every
annotation is a sample, a joint of a hand without a valid wrist is not valid, MRRPE and handedness are as below.
"""

import interhand_fixture
import numpy as np
import pytest

from dfmamba.datasets import InterHand26MDataset, InterHand26MHandsDataset
from dfmamba.datasets.interhand26m.ground_truth import read_interhand26m_gt
from dfmamba.evaluation import InterHandMPJPE
from dfmamba.evaluation.result_files import read_result_file
from dfmamba.evaluation.score_tables import score_tables

FOCAL, CENTER = (1270.0, 1265.0), (170.0, 250.0)
RIGHT, LEFT = 20, 41  # the wrists


def make_records(count=60, seed=0):
    """Records with true joints, and predictions of another network; some wrists, hands and all joints are not valid."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(count):
        kind = ("right", "left", "interacting")[number % 3]
        valid = rng.random(42) < 0.85
        valid[[RIGHT, LEFT]] |= rng.random(2) < 0.6
        if number % 7 == 0:
            valid[:] = False
        if kind != "interacting" and number % 5:  # the others have joints of a hand that the label does not name
            valid[slice(21, 42) if kind == "right" else slice(21)] = False
        joints = rng.normal(scale=40, loc=(0, 0, 1000), size=(42, 3)).astype(np.float32).astype(np.float64)
        pixels = joints[:, :2] / joints[:, 2:] * FOCAL + CENTER + rng.normal(scale=8, size=(42, 2))
        z = joints[:, 2] - np.repeat(joints[[RIGHT, LEFT], 2], 21) + rng.normal(scale=15, size=42)
        records.append(
            {
                "kind": kind,
                "kind_valid": rng.random() < 0.8,
                "valid": valid,
                "joints": joints,
                "pixels": pixels,
                "z": z,
                "relative_depth": joints[LEFT, 2] - joints[RIGHT, 2] + rng.normal(scale=30),
                "hands": rng.choice([0.0, 0.2, 0.5, 0.8, 1.0], size=2, p=[0.15, 0.3, 0.1, 0.3, 0.15]),
            }
        )
    return records


def to_space(pixel, depth):
    return np.array([(pixel[0] - CENTER[0]) / FOCAL[0] * depth, (pixel[1] - CENTER[1]) / FOCAL[1] * depth, depth])


def official(records):
    """Return what the official code prints."""
    single, two = [[] for _ in range(42)], [[] for _ in range(42)]
    root_errors, told, asked = [], 0, 0
    for record in records:
        joints, pixels, z, kind = (record[key] for key in ("joints", "pixels", "z", "kind"))
        right_there, left_there = record["valid"][RIGHT], record["valid"][LEFT]
        depth_of = {RIGHT: joints[RIGHT, 2], LEFT: joints[LEFT, 2]}
        if kind == "interacting" and right_there and left_there:
            left = to_space(pixels[LEFT], z[LEFT] + depth_of[RIGHT] + record["relative_depth"])
            right = to_space(pixels[RIGHT], z[RIGHT] + depth_of[RIGHT])
            difference = (left - right) - (joints[LEFT] - joints[RIGHT])
            root_errors.append(np.sqrt((difference**2).sum()))
        lifted = [to_space(pixels[j], z[j] + depth_of[RIGHT if j < 21 else LEFT]) for j in range(42)]
        for j in range(42):
            wrist = RIGHT if j < 21 else LEFT
            if record["valid"][j] and record["valid"][wrist]:
                error = (lifted[j] - lifted[wrist]) - (joints[j] - joints[wrist])
                (two if kind == "interacting" else single)[j].append(np.sqrt((error**2).sum()))
        if record["kind_valid"]:
            p_right, p_left = record["hands"]
            told += {
                "right": p_right > 0.5 and p_left < 0.5,
                "left": p_right < 0.5 and p_left > 0.5,
                "interacting": p_right > 0.5 and p_left > 0.5,
            }[kind]
            asked += 1
    return {
        "MPJPE_rr_macro_all_mm": np.mean([np.mean(a + b) for a, b in zip(single, two, strict=True)]),
        "MPJPE_rr_macro_single_mm": np.mean([np.mean(errors) for errors in single]),
        "MPJPE_rr_macro_two_mm": np.mean([np.mean(errors) for errors in two]),
        "MRRPE_mm": np.mean(root_errors),
        "handedness_accuracy": told / asked,
    }


def to_sample(record, number):
    """Return a record as our data set and a model give it: what is not valid is 0."""
    rooted = record["valid"] & np.repeat(record["valid"][[RIGHT, LEFT]], 21)
    hands = [record["kind"] != "left", record["kind"] != "right"]
    return {
        "id": number,
        "abs_depth": record["joints"][[RIGHT, LEFT], 2],
        "focal": FOCAL,
        "principal_pt": CENTER,
        "hand_type": np.array([hands], dtype=np.float32),
        "hand_type_valid": np.array([record["kind_valid"]]),
        "gt_instances": {
            "keypoints_cam": np.where(rooted[:, None], record["joints"], 0)[None],
            "keypoints_visible": rooted[None].astype(np.float32),
        },
        "pred_instances": {
            "keypoints": np.column_stack([record["pixels"], record["z"]])[None],
            "rel_root_depth": np.array([record["relative_depth"]]),
            "hand_type": record["hands"][None],
        },
    }


def ours(records, *, every=True, **arguments):
    metric = InterHandMPJPE(**arguments)
    metric.dataset_meta = {"data_source": {"has_every_record": every, "num_samples": len(records)}}
    for number, record in enumerate(records):
        metric.process(None, [to_sample(record, number)])
    return {name.removeprefix("interhand/"): value for name, value in metric.evaluate(len(records)).items()}


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_official_evaluation(seed):
    records = make_records(seed=seed)
    expected, found = official(records), ours(records)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-4), name
    assert 20 < expected["MRRPE_mm"] < 80
    assert 0 < expected["handedness_accuracy"] < 1


def test_the_wrists_own_depth_counts():
    """Everything right but for 10 mm on the left wrist's z: the official code says 10 / cos of the ray's angle."""
    record = next(
        record for record in make_records() if record["kind"] == "interacting" and record["valid"][[RIGHT, LEFT]].all()
    )
    record["pixels"] = record["joints"][:, :2] / record["joints"][:, 2:] * FOCAL + CENTER
    record["z"] = record["joints"][:, 2] - np.repeat(record["joints"][[RIGHT, LEFT], 2], 21)
    record["relative_depth"] = record["joints"][LEFT, 2] - record["joints"][RIGHT, 2]
    assert ours([record])["MRRPE_mm"] == pytest.approx(0, abs=1e-4)
    record["z"][LEFT] += 10
    wrist = record["joints"][LEFT]
    assert ours([record])["MRRPE_mm"] == pytest.approx(10 * np.linalg.norm(wrist) / wrist[2], abs=1e-4)
    record["z"][RIGHT] += 10  # both too far: the way from one to the other changes by the rays' angle only
    assert ours([record])["MRRPE_mm"] < 2


def test_without_the_unannotated_records_there_is_no_official_accuracy():
    records = make_records()
    usable = [record for record in records if record["valid"][[RIGHT, LEFT]].any()]
    assert len(usable) < len(records) - 5
    metrics, complete = ours(usable, every=False), ours(records)
    assert "handedness_accuracy" not in metrics
    assert metrics["handedness_accuracy_annotated"] == complete["handedness_accuracy_annotated"]
    assert metrics["handedness_accuracy_annotated"] == official(usable)["handedness_accuracy"]
    for name in ("MPJPE_rr_macro_all_mm", "MRRPE_mm", "samples_all", "samples_single", "samples_two"):
        assert metrics[name] == pytest.approx(complete[name], abs=1e-9), name


# ---- the data set and the files


@pytest.fixture
def root(tmp_path):
    """The fixture's six records, of which two have no valid joint."""
    interhand_fixture.write_annotations(tmp_path, interhand_fixture.contents())
    interhand_fixture.write_images(tmp_path, interhand_fixture.contents())
    return tmp_path


def predictions(dataset):
    """Samples with predictions: each hand too far by some mm, and its presence told wrongly in every other sample."""
    for number in range(len(dataset)):
        sample = dataset[number]
        keypoints = sample["keypoints"] + [0, 0, number + 1]
        yield {
            **{
                key: sample[key] for key in ("id", "abs_depth", "focal", "principal_pt", "hand_type", "hand_type_valid")
            },
            "gt_instances": {key: sample[key] for key in ("keypoints_cam", "keypoints_visible")},
            "pred_instances": {
                "keypoints": keypoints,
                "rel_root_depth": sample["rel_root_depth"] + 7,
                "hand_type": np.abs(sample["hand_type"] - 0.1 - 0.8 * (number % 2)),
            },
        }


@pytest.mark.parametrize("keep", [False, True])
def test_data_set_metric_file_and_score_agree(root, keep, tmp_path):
    dataset = InterHand26MDataset(split="test", data_root=str(root), test_mode=True, keep_unannotated=keep)
    assert len(dataset) == (6 if keep else 4)
    metric = InterHandMPJPE(result_file=str(tmp_path / "predictions.json"))
    metric.dataset_meta = dataset.metainfo
    for sample in predictions(dataset):
        metric.process(None, [sample])
    metrics = {name.removeprefix("interhand/"): value for name, value in metric.evaluate(len(dataset)).items()}
    # Samples 0, 1, ... are told rightly and wrongly in turn. Not labelled: 13, the third one.
    assert metrics["handedness_accuracy_annotated"] == pytest.approx(1 / 3)
    assert metrics.get("handedness_accuracy") == (pytest.approx(2 / 5) if keep else None)
    assert metrics["samples_all"] == 4
    gt = read_interhand26m_gt(root / "annotations" / "test" / "InterHand2.6M_test_data.json")
    assert gt.has_every_record
    scores, notes = score_tables("interhand26m", read_result_file("interhand26m", tmp_path / "predictions.json"), gt)
    assert set(scores.metrics) == set(metrics)
    for name, value in metrics.items():
        assert scores.metrics[name] == pytest.approx(value, abs=2e-4, nan_ok=True), name
    assert len(notes) == (0 if keep else 1)
    if not keep:
        assert "2 records without a valid joint" in notes[0]
        assert "handedness_accuracy, which counts them, is not given" in notes[0]


def test_unannotated_records_with_a_bad_box_are_counted(root):
    files = interhand_fixture.contents()
    files["data"]["annotations"][5]["bbox"] = [0, 0, 0, 0]
    interhand_fixture.write_annotations(root, files)
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    assert len(InterHand26MDataset(split="test", data_root=str(root), keep_unannotated=False)) == 4
    dataset = InterHand26MDataset(split="test", data_root=str(root), keep_unannotated=True)
    assert len(dataset) == 5
    assert dataset.skipped == {"no valid joint, and no box": 1}
    assert not dataset.metainfo["data_source"]["has_every_record"]
    assert not read_interhand26m_gt(path).has_every_record


def test_joined_data_sets_are_not_described_by_the_first(root):
    """`ConcatDataset` has the metainfo of its first part, which keeps every record, unlike the second one."""
    parts = [
        InterHand26MDataset(split="test", data_root=str(root), test_mode=True, keep_unannotated=keep)
        for keep in (True, False)
    ]
    metric = InterHandMPJPE()
    metric.dataset_meta = parts[0].metainfo
    for part in parts:
        for sample in predictions(part):
            metric.process(None, [sample])
    assert "interhand/handedness_accuracy" not in metric.evaluate(10)


def test_a_part_of_the_records_is_not_all_of_them(root):
    for options in ({"hand_types": ["right"]}, {"indices": 3}, {"sample_interval": 2}):
        dataset = InterHand26MDataset(split="test", data_root=str(root), keep_unannotated=True, **options)
        assert not dataset.metainfo["data_source"]["has_every_record"], options
    with pytest.raises(ValueError, match="keep_unannotated: expected False for single hands"):
        InterHand26MHandsDataset(split="test", data_root=str(root), keep_unannotated=True)
