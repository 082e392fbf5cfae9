"""What the metrics of the data sets have in common, each against its protocol's function; on one process and on two."""

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmpose.registry import METRICS

import dfmamba.register  # noqa: F401  (registers them)
from dfmamba.evaluation import (
    PROTOCOLS,
    score_assemblyhands,
    score_dexycb,
    score_interhand26m,
    score_nyu,
    score_own_data,
    score_rhp,
)
from dfmamba.evaluation.result_files import read_result_file

FOCAL, CENTER = np.array([600.0, 500.0]), np.array([320.0, 240.0])
NUM_JOINTS = {
    "InterHandMPJPE": 42,
    "RHPEPE": 42,
    "NYUMeanError": 14,
    "DexYCBMPJPE": 21,
    "AssemblyHandsMPJPE": 42,
    "OwnDataMPJPE": 42,
}
PROTOCOL_OF = dict(zip(NUM_JOINTS, PROTOCOLS, strict=True))


def make_samples(name, count=9, seed=0):
    """Noisy predictions of right hands, left hands and, for InterHand2.6M, both; some joints are not annotated."""
    rng = np.random.default_rng(seed)
    joints = NUM_JOINTS[name]
    kinds = [[1, 0], [0, 1], [1, 1]] if name == "InterHandMPJPE" else [[1, 0], [0, 1]] if joints == 42 else [[1, 0]]
    samples = []
    for number in range(count):
        hands = np.array(kinds[number % len(kinds)], dtype=np.float32)
        gt = rng.normal(scale=40, size=(joints, 3)) + np.array([0, 0, 800])
        hand_of = np.arange(joints) // 21
        root = gt[[20, 41], 2] if joints == 42 else np.full(2, gt[:, 2].mean())
        valid = (rng.random(joints) < 0.9) & (hands[hand_of] > 0) if joints == 42 else np.ones(joints, dtype=bool)
        pred = gt + rng.normal(scale=10, size=gt.shape)
        pixels = np.concatenate([pred[:, :2] / pred[:, 2:] * FOCAL + CENTER, pred[:, 2:] - root[hand_of, None]], axis=1)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        samples.append(
            {
                "id": number + 1,
                "seq_name": "nusar_1",
                "frame_idx": 2 * number,
                "camera": "HMC_1",
                "hand_type": hands[None],
                "hand_type_valid": np.ones(1),
                "abs_depth": root,
                "root_depth": root[hand_of],
                "focal": FOCAL,
                "principal_pt": CENTER,
                "extrinsic": np.concatenate([turn, rng.normal(size=(3, 1)) * 100], axis=1),
                "space_known": hands,
                "depth_known": hands,
                "gt_instances": {
                    "keypoints_cam": gt[None],
                    "keypoints_visible": valid[None].astype(np.float32),
                    "keypoints": np.pad(gt[:, :2] / gt[:, 2:] * FOCAL + CENTER, ((0, 0), (0, 1)))[None],
                    "bboxes": np.array([[300.0, 200, 400, 260]]),
                },
                "pred_instances": {"keypoints": pixels[None]},
                "pred_for_the_test": pred,
            }
        )
    return samples


def evaluate(name, samples, **arguments):
    metric = METRICS.build({"type": name, **arguments})
    for start in range(0, len(samples), 4):
        metric.process(None, samples[start : start + 4])
    return {key.split("/")[1]: value for key, value in metric.evaluate(len(samples)).items()}


def arrays(samples):
    pred = np.array([sample["pred_for_the_test"] for sample in samples])
    gt = np.array([sample["gt_instances"]["keypoints_cam"][0] for sample in samples])
    valid = np.array([sample["gt_instances"]["keypoints_visible"][0] for sample in samples])
    return pred, gt, valid


def score_own_samples(pred, gt, valid):
    """The px are those of the projections; the boxes have a longer side of 100 px."""
    points = [joints[..., :2] / joints[..., 2:] * FOCAL + CENTER for joints in (pred, gt)]
    return score_own_data(pred, gt, valid, pred_px=points[0], gt_px=points[1], box_px=np.full(len(gt), 100.0))


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("OwnDataMPJPE", score_own_samples),
        ("RHPEPE", score_rhp),
        ("NYUMeanError", score_nyu),
        ("DexYCBMPJPE", score_dexycb),
        ("AssemblyHandsMPJPE", score_assemblyhands),
        (
            "InterHandMPJPE",
            lambda *joints: score_interhand26m(*joints, [s["hand_type"][0] for s in make_samples("InterHandMPJPE")]),
        ),
    ],
)
def test_the_metric_is_the_protocol(name, score):
    samples = make_samples(name)
    expected = score(*arrays(samples)).metrics
    assert evaluate(name, samples) == pytest.approx(expected, abs=1e-4)  # joints are kept in float32
    assert 5 < expected[PROTOCOLS[PROTOCOL_OF[name]].main] < 50


@pytest.mark.parametrize("name", NUM_JOINTS)
def test_keypoints_cam_wins(name):
    samples = make_samples(name)
    for sample in samples:
        sample["pred_instances"]["keypoints_cam"] = sample["gt_instances"]["keypoints_cam"] + 0
    metrics = evaluate(name, samples)
    assert metrics[PROTOCOLS[PROTOCOL_OF[name]].main] == 0
    assert metrics[PROTOCOLS[PROTOCOL_OF[name]].constant] > 10


def test_root_relative_predictions_have_no_absolute_error():
    samples = make_samples("DexYCBMPJPE")
    for sample in samples:
        joints = sample["pred_for_the_test"]
        sample["pred_instances"] = {"keypoints_cam": torch.as_tensor(joints - joints[20])[None]}
    absolute, relative = (evaluate("DexYCBMPJPE", samples, pred_frame=frame) for frame in ("absolute", "root_relative"))
    assert absolute["MPJPE_abs_macro_mm"] > 700
    assert relative == {key: value for key, value in absolute.items() if "_abs_" not in key}
    with pytest.raises(ValueError, match="pred_frame: expected 'absolute' or 'root_relative', got 'relative'"):
        METRICS.build({"type": "DexYCBMPJPE", "pred_frame": "relative"})


def test_mrrpe_and_handedness_by_hand():
    """The left wrist is predicted 5 mm too far; the second of three samples misses a hand."""
    samples = make_samples("InterHandMPJPE", count=9)[2::3]  # of two hands
    for sample in samples:
        gt = sample["gt_instances"]["keypoints_cam"][0]
        wrists_px = gt[[20, 41], :2] / gt[[20, 41], 2:] * FOCAL + CENTER
        sample["pred_instances"]["keypoints"][0, [20, 41]] = np.pad(wrists_px, ((0, 0), (0, 1)))  # z is 0
        sample["gt_instances"]["keypoints_visible"][0, [20, 41]] = 1
        sample["pred_instances"] |= {
            "rel_root_depth": np.array([gt[41, 2] - gt[20, 2]]),
            "hand_type": np.array([[0.9, 0.6]]),
        }
    samples[1]["pred_instances"]["hand_type"][0, 1] = 0.4
    exact = evaluate("InterHandMPJPE", samples)
    assert exact["MRRPE_mm"] == pytest.approx(0, abs=1e-3)
    assert exact["handedness_accuracy_annotated"] == pytest.approx(2 / 3)
    assert "handedness_accuracy" not in exact  # the official one counts records that these samples lack
    gt = samples[0]["gt_instances"]["keypoints_cam"][0]
    samples[0]["pred_instances"]["rel_root_depth"] += 5
    along_the_ray = 5 * np.linalg.norm(gt[41]) / gt[41, 2]
    assert evaluate("InterHandMPJPE", samples)["MRRPE_mm"] == pytest.approx(along_the_ray / 3, abs=1e-3)
    samples[1]["hand_type_valid"] = np.zeros(1)
    assert evaluate("InterHandMPJPE", samples)["handedness_accuracy_annotated"] == 1


def test_interhand26m_is_lifted_with_rootnets_depth():
    """`abs_depth` may be RootNet's, `root_depth` is the true one: with a wrong depth the hand gets another size."""
    samples = make_samples("InterHandMPJPE")
    original = evaluate("InterHandMPJPE", samples)
    for sample in samples:
        sample["root_depth"] = sample["root_depth"] + 1000  # plays no part
    assert evaluate("InterHandMPJPE", samples) == original
    for sample in samples:
        sample["abs_depth"] = sample["abs_depth"] + 1000
    assert evaluate("InterHandMPJPE", samples)["MPJPE_rr_macro_all_mm"] > original["MPJPE_rr_macro_all_mm"] + 5


@pytest.mark.parametrize("name", NUM_JOINTS)
def test_the_result_file_has_the_predictions(name, tmp_path):
    samples = make_samples(name)
    path = tmp_path / "new" / "predictions"
    evaluate(name, samples, result_file=str(path))
    table = read_result_file(PROTOCOL_OF[name], path)
    pred, _, _ = arrays(samples)
    if name == "AssemblyHandsMPJPE":  # in the world, by frame, and only the hand that was seen
        assert table.ids == [f"nusar_1/{2 * number:06d}" for number in range(9)]
        for row, sample in enumerate(samples):
            hand = np.repeat(sample["hand_type"][0] > 0, 21)
            world = (pred[row] - sample["extrinsic"][:, 3]) @ sample["extrinsic"][:, :3]  # R^T (X - t)
            np.testing.assert_allclose(table.joints_mm[row][hand], world[hand], atol=1e-3)
            assert (table.valid[row] == hand).all()
        return
    assert table.ids == list(range(1, 10))
    given = np.array([np.repeat(sample["hand_type"][0] > 0, 21) for sample in samples])
    given = given if name == "RHPEPE" else np.ones(pred.shape[:2], dtype=bool)
    np.testing.assert_allclose(table.joints_mm[given], pred[given], atol=1e-3)
    assert (table.valid == given).all()


def test_a_failure_to_write_does_not_lose_the_numbers(tmp_path, log):
    samples = make_samples("DexYCBMPJPE")
    samples[3]["pred_instances"]["keypoints"][0, 2] = np.nan
    metrics = evaluate("DexYCBMPJPE", samples, result_file=str(tmp_path / "x"))
    assert metrics["hands"] == 9
    assert "the predictions were not written" in log.text
    assert "1 samples with NaN or infinity, such as 4" in log.text
    assert "1 of 9 samples have predictions that are NaN" in log.text


@pytest.mark.parametrize("name", NUM_JOINTS)
def test_the_table_is_logged(name, log):
    metrics = evaluate(name, make_samples(name))
    protocol = PROTOCOLS[PROTOCOL_OF[name]]
    assert protocol.title in log.text
    better = 1 - metrics[protocol.main] / metrics[protocol.constant]
    assert "better than the constant-pose baseline" in log.text
    assert f"{better:.0%}" in log.text


@pytest.mark.parametrize("name", list(NUM_JOINTS)[1:])
def test_missing_field(name):
    samples = make_samples(name, count=1)
    del samples[0]["root_depth"]
    with pytest.raises(ValueError, match=f"{name}: expected 'root_depth' in the data sample, got only .*meta_keys"):
        evaluate(name, samples)


def _evaluate_a_part(rank, folder):
    """One of two processes: its samples as mmengine's sampler deals them out, filled up to equal numbers or not."""
    torch.set_num_threads(1)  # others would not be there after the fork
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    results = {}
    for name in NUM_JOINTS:
        samples = make_samples(name)  # 9
        for round_up in (True, False):
            metric = METRICS.build({"type": name, "collect_dir": f"{folder}/collected"})
            mine = list(DefaultSampler(samples, shuffle=False, round_up=round_up))
            assert len(mine) == (5 if round_up or rank == 0 else 4)
            for start in range(0, len(mine), 2):
                metric.process(None, [samples[index] for index in mine[start : start + 2]])
            results[name, round_up] = metric.evaluate(len(samples))
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path):
    torch.multiprocessing.start_processes(_evaluate_a_part, (str(tmp_path),), nprocs=2, start_method="fork")
    for name in NUM_JOINTS:
        prefix = PROTOCOLS[PROTOCOL_OF[name]].prefix
        expected = {f"{prefix}/{key}": value for key, value in evaluate(name, make_samples(name)).items()}
        for rank in range(2):
            results = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
            assert results[name, True] == results[name, False] == expected
