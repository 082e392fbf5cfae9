"""What every protocol has: a best constant pose, a text about itself, and a place in the document."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from dfmamba.evaluation import PROTOCOLS, score_nyu
from dfmamba.evaluation.constant_pose import best_constant_pose
from dfmamba.evaluation.detnet_protocol import PROTOCOL as DETNET
from dfmamba.evaluation.protocol import JointTable

WRIST = 20  # in one hand


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_constant_pose_is_the_best_pose_without_the_image(name, rng):
    """It beats the mean pose, and predicting the pose itself gives its error."""
    count = PROTOCOLS[name].skeleton.num_joints
    gt = rng.exponential(scale=40, size=(25, count, 3))
    if name == "nyu":
        gt -= gt.mean(axis=1, keepdims=True)
    else:
        for start in range(0, count, 21):
            gt[:, start : start + 21] -= gt[:, [start + WRIST]]
    fields = {"hand_type": np.ones((25, 2), dtype=bool)}
    full = JointTable(range(25), gt, np.ones((25, count), dtype=bool), fields)
    scores = {}
    for kind, pose in {"mean": gt.mean(axis=0), "best": best_constant_pose(gt)}.items():
        constant = JointTable(range(25), np.broadcast_to(pose, gt.shape), full.valid, fields)
        scores[kind] = PROTOCOLS[name].score(constant, full).metrics
    main, best = PROTOCOLS[name].main, PROTOCOLS[name].constant
    assert scores["best"][main] == pytest.approx(scores["best"][best], abs=1e-4)
    assert scores["mean"][main] > scores["best"][best] + 0.1


def least_mean_distance(points):
    """The mean distance to the best point, by a general optimiser."""
    result = minimize(
        lambda place: np.linalg.norm(points - place, axis=1).mean(),
        np.median(points, axis=0),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000},
    )
    return result.fun


def test_nyus_constant_pose_is_of_the_valid_joints(rng):
    """Around the mean of a frame's valid joints; what is not valid is far off, and counts nowhere."""
    gt = rng.normal(scale=40, size=(20, 14, 3)) + rng.uniform(-200, 200, (20, 1, 3)) + np.array([0, 0, 900])
    valid = rng.random((20, 14)) < 0.8
    valid[3] = False
    valid[:, 5] = False
    relative = np.array(
        [hand - hand[flags].mean(axis=0) if flags.any() else hand for hand, flags in zip(gt, valid, strict=True)]
    )
    errors = [least_mean_distance(relative[valid[:, joint], joint]) for joint in range(14) if joint != 5]
    counts = np.delete(valid.sum(axis=0), 5)
    expected = np.average(errors, weights=counts)
    for mark in (1.0, 5000.0):
        marked = np.where(valid[..., None], gt, mark)
        metrics = score_nyu(marked, marked, valid).metrics
        assert metrics["constant_pose_at_true_center_mm"] == pytest.approx(expected, abs=1e-3)
        assert metrics["frames"] == 19


@pytest.mark.parametrize("name", sorted(set(PROTOCOLS) - {"nyu"}))
def test_constant_poses_are_of_the_valid_joints(name, rng):
    """Root-relative, each joint of each side by itself, then the mean over joints; without a wrist no hand counts."""
    count = PROTOCOLS[name].skeleton.num_joints
    gt = rng.normal(scale=40, size=(20, count, 3)) + np.array([0, 0, 900])
    valid = rng.random((20, count)) < 0.8
    if name == "rhp":  # one hand each
        valid &= np.repeat(np.eye(2, dtype=bool)[np.arange(20) % 2], 21, axis=1)
    sums = [[] for _ in range(count)]
    for joint in range(count):
        wrist = joint // 21 * 21 + WRIST
        rows = valid[:, joint] & valid[:, wrist]
        if rows.any():
            mean_error = 0 if joint == wrist else least_mean_distance((gt[:, joint] - gt[:, wrist])[rows])
            sums[joint % 21 if name == "rhp" else joint].append((mean_error * rows.sum(), rows.sum()))
    expected = np.mean([sum(error for error, _ in part) / sum(number for _, number in part) for part in sums if part])
    marked = np.where(valid[..., None], gt, 1.0)
    fields = {"hand_type": np.ones((20, 2), dtype=bool)}
    table = JointTable(range(20), marked, valid, fields)
    metrics = PROTOCOLS[name].score(table, table).metrics
    assert metrics[PROTOCOLS[name].constant] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("protocol", [*PROTOCOLS.values(), DETNET], ids=lambda protocol: protocol.prefix)
def test_the_document_names_what_a_protocol_equals(protocol):
    """Repositories, files and functions are the same in the description, the module's text and the document."""
    document = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text().replace("`", "")
    named = re.findall(r"[\w.-]+/[\w.-]+(?:/[\w.-]+)*", protocol.description["equals"])
    assert len(named) >= 2
    module = sys.modules[protocol.score.__module__].__doc__
    for name in named:
        assert name in document, name
        assert name.split("/")[-1] in module or "mmpose" in name or "A2J" in name, name


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_describe_themselves(name):
    protocol = PROTOCOLS[name]
    assert {
        "name",
        "source",
        "equals",
        "alignment",
        "unit",
        "averages",
        "valid joints",
        "constant-pose baseline",
    } <= set(protocol.description)
    joints = np.zeros((2, protocol.skeleton.num_joints, 3))
    valid = np.ones(joints.shape[:2], dtype=bool)
    fields = {"hand_type": np.ones((2, 2), dtype=bool), "all_joints_mm": joints, "seen": valid}
    table = JointTable(range(2), joints, valid, fields)
    metrics = protocol.score(table, table).metrics
    for row in protocol.table.values():
        assert set(row.values()) - {""} <= set(metrics)
