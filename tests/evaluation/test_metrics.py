import json

import numpy as np
import pytest
import torch
from mmpose.registry import METRICS

from dfmamba.errors import UserError
from dfmamba.evaluation import PROTOCOLS, InterHandMPJPE, format_scores
from dfmamba.skeleton import TWO_HANDS

FOCAL, CENTER = np.array([1000.0, 500.0]), np.array([160.0, 120.0])
RIGHT_DEPTH, LEFT_DEPTH = 1000.0, 800.0


def make_sample(hands, number=0, rng=None):
    """A data sample with the ground truth as the prediction, to be changed by the test.

    Without `rng` all joints of a hand are at its wrist: right at (0, 0, 1000), left at (0, 0, 800).
    """
    gt = np.zeros((42, 3))
    gt[:21, 2], gt[21:, 2] = RIGHT_DEPTH, LEFT_DEPTH
    if rng:
        gt += rng.normal(scale=30, size=gt.shape)
    depth = gt[[20, 41], 2]
    pred = np.empty_like(gt)
    pred[:, :2] = gt[:, :2] / gt[:, 2:] * FOCAL + CENTER
    pred[:, 2] = gt[:, 2] - np.repeat(depth, 21)
    visible = np.repeat([hands in ("right", "both"), hands in ("left", "both")], 21).astype(np.float32)
    return {
        "id": number,
        "abs_depth": depth,
        "focal": FOCAL,
        "principal_pt": CENTER,
        "hand_type": np.array([[hands in ("right", "both"), hands in ("left", "both")]], dtype=np.float32),
        "hand_type_valid": np.ones(1),
        "gt_instances": {"keypoints_cam": gt[None], "keypoints_visible": visible[None]},
        "pred_instances": {
            "keypoints": pred[None],
            "hand_type": np.ones((1, 2)),
            "rel_root_depth": np.array([depth[1] - depth[0]]),
        },
    }


def evaluate(samples, **arguments):
    metric = InterHandMPJPE(**arguments)
    for sample in samples:  # batches of one
        metric.process(None, [sample])
    return {name.removeprefix("interhand/"): value for name, value in metric.evaluate(len(samples)).items()}


def random_samples(rng, count=12):
    """Samples of all kinds with noisy predictions and invalid joints."""
    samples = []
    for number in range(count):
        sample = make_sample(("right", "left", "both")[number % 3], number, rng)
        pred = sample["pred_instances"]["keypoints"]
        pred += rng.normal(size=pred.shape) * [10, 10, 20]
        invalid = rng.random(42) < 0.3
        invalid[[20, 41]] = False
        sample["gt_instances"]["keypoints_visible"][0, invalid] = 0
        sample["gt_instances"]["keypoints_cam"][0, invalid] = 0
        samples.append(sample)
    return samples


# ---- cases worked out by hand


def test_three_four_zero_in_space():
    """At a depth of 1000 and focal lengths (1000, 500), 3 px to the right and 2 px down are 3 and 4 mm: error 5."""
    sample = make_sample("right")
    sample["pred_instances"]["keypoints"][0, 7, :2] += 3, 2
    result = evaluate([sample])
    assert result["MPJPE_rr_macro_single_mm"] == pytest.approx(5 / 21)  # of one hand, wrist included
    assert result["MPJPE_rr_micro_single_mm"] == pytest.approx(5 / 21)


def test_each_hand_is_lifted_with_its_own_depth():
    sample = make_sample("both")
    sample["pred_instances"]["keypoints"][0, 21 + 7, 0] += 3  # 3 px * 800 mm / 1000 px
    assert evaluate([sample])["MPJPE_rr_macro_two_mm"] == pytest.approx(2.4 / 42)


def test_depth_error_counts_along_the_ray():
    """10 mm too far at the image's center is 10 mm."""
    sample = make_sample("left")
    sample["pred_instances"]["keypoints"][0, 25, 2] += 10
    assert evaluate([sample])["MPJPE_rr_macro_single_mm"] == pytest.approx(10 / 21)


def test_the_predicted_wrist_is_subtracted():
    """A wrist that is 5 mm off moves the 20 other joints by 5 mm, and has itself no error."""
    sample = make_sample("right")
    sample["pred_instances"]["keypoints"][0, 20, :2] += 3, 2
    assert evaluate([sample])["MPJPE_rr_macro_single_mm"] == pytest.approx(5 * 20 / 21)


def test_macro_and_micro_differ():
    """Joint 0 has errors 6 and 0, joint 1 has 9 in its only valid sample, the 19 others have 0."""
    first, second = make_sample("right"), make_sample("right")
    first["pred_instances"]["keypoints"][0, 0, 2] += 6
    first["pred_instances"]["keypoints"][0, 1, 2] += 9
    second["pred_instances"]["keypoints"][0, 1, 2] += 500
    second["gt_instances"]["keypoints_visible"][0, 1] = 0
    result = evaluate([first, second])
    assert result["MPJPE_rr_macro_single_mm"] == pytest.approx((6 / 2 + 9) / 21)
    assert result["MPJPE_rr_micro_single_mm"] == pytest.approx((6 + 9) / 41)


def test_all_pools_the_samples():
    """Joint 0: 6 in one single sample, 0 in two samples of two hands. All: 6 / 3 for it, not the mean of 6 and 0."""
    samples = [make_sample("right"), make_sample("both"), make_sample("both")]
    samples[0]["pred_instances"]["keypoints"][0, 0, 2] += 6
    result = evaluate(samples)
    assert result["MPJPE_rr_macro_single_mm"] == pytest.approx(6 / 21)
    assert result["MPJPE_rr_macro_two_mm"] == pytest.approx(0, abs=1e-6)
    assert result["MPJPE_rr_macro_all_mm"] == pytest.approx(2 / 42)
    assert [result[f"samples_{subset}"] for subset in ("single", "two", "all")] == [1, 2, 3]


def test_swapped_hands_are_noticed():
    sample = make_sample("both", rng=np.random.default_rng(0))
    keypoints = sample["pred_instances"]["keypoints"]
    keypoints[:] = keypoints[:, list(TWO_HANDS.flip)]
    assert evaluate([sample])["MPJPE_rr_macro_two_mm"] > 20


def test_constant_pose_by_hand():
    """Joint 0 lies at 0, 0 and 30 mm from the wrist: the best constant is 0, its mean error 10."""
    samples = [make_sample("right") for _ in range(3)]
    samples[2]["gt_instances"]["keypoints_cam"][0, 0, 0] += 30
    assert evaluate(samples)["constant_pose_macro_single_mm"] == pytest.approx(10 / 21, abs=1e-4)


# ---- against other implementations


def test_is_the_definition():
    """The protocol transcribed joint by joint, and mmpose's metric, which is the micro average."""
    samples = random_samples(np.random.default_rng(1))
    result = evaluate(samples)
    lists = {"single": [[] for _ in range(42)], "two": [[] for _ in range(42)]}
    for sample in samples:
        pred, gt = sample["pred_instances"]["keypoints"][0], sample["gt_instances"]["keypoints_cam"][0]
        subset = "two" if sample["hand_type"].sum() == 2 else "single"
        lifted = []
        for joint in range(42):
            z = pred[joint, 2] + sample["abs_depth"][0 if joint < 21 else 1]
            lifted.append([(pred[joint, 0] - CENTER[0]) / FOCAL[0] * z, (pred[joint, 1] - CENTER[1]) / FOCAL[1] * z, z])
        for joint in range(42):
            wrist = 20 if joint < 21 else 41
            if sample["gt_instances"]["keypoints_visible"][0, joint]:
                error = [lifted[joint][i] - lifted[wrist][i] - gt[joint, i] + gt[wrist, i] for i in range(3)]
                lists[subset][joint].append(np.sqrt(np.square(error).sum()))
    lists["all"] = [single + two for single, two in zip(lists["single"], lists["two"], strict=True)]
    for subset, errors in lists.items():
        assert result[f"MPJPE_rr_macro_{subset}_mm"] == pytest.approx(
            np.mean([np.mean(part) for part in errors if part]), abs=1e-4
        )  # the metric keeps float32
    assert abs(result["MPJPE_rr_macro_all_mm"] - result["MPJPE_rr_micro_all_mm"]) > 1e-3

    theirs = METRICS.build({"type": "InterHandMetric", "modes": ["MPJPE"], "prefix": "x"})
    for sample in samples:
        theirs.process(None, [sample])
    reference = theirs.evaluate(len(samples))
    for mine, other in {"all": "all", "single": "single", "two": "interacting"}.items():
        assert result[f"MPJPE_rr_micro_{mine}_mm"] == pytest.approx(reference[f"x/MPJPE_{other}"], rel=1e-5)


def test_tensors_are_as_good_as_arrays():
    samples = random_samples(np.random.default_rng(2), count=3)
    expected = evaluate(samples)
    for sample in samples:
        for name in ("pred_instances", "gt_instances"):
            sample[name] = {key: torch.as_tensor(value) for key, value in sample[name].items()}
    assert evaluate(samples) == pytest.approx(expected)


# ---- gaps in the data


def test_empty_subset_is_nan_with_a_warning(log):
    result = evaluate([make_sample("right"), make_sample("left")])
    assert np.isnan(result["MPJPE_rr_macro_two_mm"])
    assert np.isnan(result["constant_pose_macro_two_mm"])
    assert result["samples_two"] == 0
    assert result["MPJPE_rr_macro_all_mm"] == pytest.approx(0, abs=1e-6)
    assert log.text.count("the subset 'two' has no valid joint; its errors are NaN") == 1


def test_complete_samples_give_no_warning(log):
    evaluate([make_sample("both"), make_sample("right"), make_sample("left")])
    assert not [record for record in log.records if record.levelname == "WARNING" and "single" not in record.message]
    evaluate([make_sample("both")])
    assert not [record for record in log.records if "left out of the macro mean" in record.message]


@pytest.mark.parametrize("name", ["result_file", "details_file"])
def test_files_that_cannot_be_written_are_told_before_the_test(name, tmp_path):
    (tmp_path / "folder").write_text("a file where a folder belongs")
    with pytest.raises(UserError, match=name):
        InterHandMPJPE(**{name: str(tmp_path / "folder" / "x.json")})


def test_joints_without_samples_are_left_out_and_named(log):
    sample = make_sample("both")
    sample["gt_instances"]["keypoints_visible"][0, :2] = 0
    sample["pred_instances"]["keypoints"][0, 2, 2] += 8
    assert evaluate([sample])["MPJPE_rr_macro_two_mm"] == pytest.approx(8 / 40)
    assert "in the subset 'two' 2 joints have no valid sample" in log.text
    assert "right_thumb4, right_thumb3" in log.text


def test_no_sample_at_all(log):
    result = evaluate([])
    assert np.isnan(result["MPJPE_rr_macro_all_mm"])


def test_diverged_prediction_is_not_hidden(log):
    samples = [make_sample("right"), make_sample("right")]
    samples[0]["pred_instances"]["keypoints"][0, 3] = np.nan
    assert np.isnan(evaluate(samples)["MPJPE_rr_macro_single_mm"])
    assert "1 of 2 samples have predictions that are NaN" in log.text


@pytest.mark.parametrize(("place", "key"), [(None, "abs_depth"), ("pred_instances", "keypoints")])
def test_missing_field(place, key):
    sample = make_sample("right")
    del (sample[place] if place else sample)[key]
    with pytest.raises(ValueError, match=f"expected '{key}' in the data sample, got only .*meta_keys"):
        evaluate([sample])


def test_wrong_number_of_joints():
    sample = make_sample("right")
    sample["pred_instances"]["keypoints"] = sample["pred_instances"]["keypoints"][:, :21]
    with pytest.raises(ValueError, match=r"keypoints: expected shape \(1, 42, 3\), got \(1, 21, 3\)"):
        evaluate([sample])


# ---- what comes out


def test_details(tmp_path):
    samples = [make_sample("right", 5), make_sample("left", 6)]
    samples[0]["pred_instances"]["keypoints"][0, 4, 2] += 12
    metric = InterHandMPJPE(details_file=str(tmp_path / "new" / "details.json"))
    metric.dataset_meta = {"data_source": {"digest": "abc", "root_depth": "rootnet.json"}}
    metric.process(None, samples)
    metrics = metric.evaluate(2)
    content = json.loads((tmp_path / "new" / "details.json").read_text())
    assert content["metrics"]["MPJPE_rr_macro_all_mm"] == pytest.approx(metrics["interhand/MPJPE_rr_macro_all_mm"])
    assert content["metrics"]["MPJPE_rr_macro_two_mm"] is None  # NaN is not JSON
    single = content["details"]["single"]
    assert single["per_joint_mm"]["right_index4"] == pytest.approx(12)
    assert single["per_finger_mm"] == pytest.approx(
        {"thumb": 0, "index": 12 / 8, "middle": 0, "ring": 0, "pinky": 0, "wrist": 0}, abs=1e-5
    )
    assert single["valid_samples"] == dict.fromkeys(TWO_HANDS.names, 1)
    assert content["protocol"]["depth source"] == "rootnet.json"
    assert content["protocol"]["unit"] == "mm; accuracy between 0 and 1"
    assert content["data"]["digest"] == "abc"


def test_is_registered_with_its_prefix():
    metric = METRICS.build({"type": "InterHandMPJPE", "collect_device": "gpu"})
    assert metric.prefix == "interhand"
    assert metric.collect_device == "gpu"


def test_table(log):
    result = evaluate(random_samples(np.random.default_rng(3)))
    table = format_scores(PROTOCOLS["interhand26m"], {f"interhand/{name}": value for name, value in result.items()})
    lines = table.splitlines()
    assert len({len(line) for line in lines[:4]}) == 1  # aligned
    assert lines[0].split()[-5:] == ["macro", "micro", "constant-pose", "baseline", "samples"]
    assert lines[2].split() == [
        "two",
        *(
            f"{result[name]:.2f}"
            for name in ("MPJPE_rr_macro_two_mm", "MPJPE_rr_micro_two_mm", "constant_pose_macro_two_mm")
        ),
        "4",
    ]
    assert lines[4].split() == ["MRRPE,", "mm", f"{result['MRRPE_mm']:.2f}"]
    assert lines[6].split()[-1] == f"{1 - result['MPJPE_rr_macro_all_mm'] / result['constant_pose_macro_all_mm']:.0%}"
    assert table in log.text
