"""Each protocol against its definition, written out with loops, and against cases worked out by hand."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

import dfmamba.datasets.interhand26m.protocol
import dfmamba.evaluation.protocol
from dfmamba.datasets.rhp.protocol import hand3d_errors
from dfmamba.evaluation import (
    PROTOCOLS,
    score_assemblyhands,
    score_dexycb,
    score_interhand26m,
    score_nyu,
    score_rhp,
)
from dfmamba.evaluation.protocol import JointTable

WRIST, MIDDLE1, MIDDLE2 = 20, 11, 10  # in one hand


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_hands(rng, samples=40, sides=("right", "left", "both")):
    """Two hands with invalid joints, invalid wrists, absent hands; what is not valid is nonsense."""
    gt = rng.normal(scale=40, size=(samples, 42, 3)) + np.array([0, 0, 900])
    pred = gt + rng.normal(scale=12, size=gt.shape)
    valid = rng.random((samples, 42)) < 0.8
    kinds = [sides[number % len(sides)] for number in range(samples)]
    for number, kind in enumerate(kinds):
        if kind == "right":
            valid[number, 21:] = False
        if kind == "left":
            valid[number, :21] = False
    valid[3, [20, 41]] = False
    valid[4] = False
    gt[~valid] = 1.0  # InterHand2.6M's and AssemblyHands' mark
    hand_type = np.array([[kind != "left", kind != "right"] for kind in kinds])
    return pred, gt, valid, hand_type


def distance(a, b):
    return sum((a[i] - b[i]) ** 2 for i in range(3)) ** 0.5


def minus(a, b):
    return [a[i] - b[i] for i in range(3)]


def mean(values):
    return sum(values) / len(values)


def joined(lists):
    return [value for part in lists for value in part]


def macro(lists):
    return mean([mean(errors) for errors in lists if errors])


def auc(lists, low, high, points):
    """EvalUtil: a curve for each joint, its area by trapezoids over the range; then the mean over joints."""
    areas = []
    for errors in lists:
        if errors:
            thresholds = [low + (high - low) * step / (points - 1) for step in range(points)]
            curve = [sum(error <= threshold + 1e-12 for error in errors) / len(errors) for threshold in thresholds]
            areas.append(sum((curve[i] + curve[i + 1]) / 2 for i in range(points - 1)) / (points - 1))
    return mean(areas)


@pytest.mark.parametrize("module", [dfmamba.evaluation.protocol, dfmamba.datasets.interhand26m.protocol])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


# ---- InterHand2.6M


def test_interhand26m_is_the_definition(rng):
    pred, gt, valid, hand_type = random_hands(rng)
    lists = {subset: [[] for _ in range(42)] for subset in ("single", "two", "all")}
    for n in range(len(pred)):
        for joint in range(42):
            wrist = 20 if joint < 21 else 41
            if valid[n, joint] and valid[n, wrist]:
                error = distance(minus(pred[n, joint], pred[n, wrist]), minus(gt[n, joint], gt[n, wrist]))
                lists["two" if hand_type[n].all() else "single"][joint].append(error)
                lists["all"][joint].append(error)
    scores = score_interhand26m(pred, gt, valid, hand_type)
    for subset, errors in lists.items():
        assert scores.metrics[f"MPJPE_rr_macro_{subset}_mm"] == pytest.approx(macro(errors), abs=1e-6)
        assert scores.metrics[f"MPJPE_rr_micro_{subset}_mm"] == pytest.approx(mean(joined(errors)), abs=1e-6)
        per_joint = list(scores.details[subset]["per_joint_mm"].values())
        assert per_joint == pytest.approx([mean(part) for part in errors], abs=1e-6)
    assert abs(scores.metrics["MPJPE_rr_macro_all_mm"] - scores.metrics["MPJPE_rr_micro_all_mm"]) > 0.05
    halves = (scores.metrics["MPJPE_rr_macro_single_mm"] + scores.metrics["MPJPE_rr_macro_two_mm"]) / 2
    assert abs(scores.metrics["MPJPE_rr_macro_all_mm"] - halves) > 0.05


def test_mrrpe_is_the_definition(rng):
    pred, gt, valid, hand_type = random_hands(rng)
    roots = pred[:, [20, 41]]
    errors = [
        distance(minus(roots[n, 1], roots[n, 0]), minus(gt[n, 41], gt[n, 20]))
        for n in range(len(pred))
        if hand_type[n].all() and valid[n, 20] and valid[n, 41]
    ]
    tables = (
        JointTable(range(len(pred)), pred, np.ones_like(valid), {"roots_mm": roots}),
        JointTable(range(len(pred)), gt, valid, {"hand_type": hand_type}),
    )
    metrics = PROTOCOLS["interhand26m"].score(*tables).metrics
    assert metrics["MRRPE_mm"] == pytest.approx(mean(errors), abs=1e-6)
    assert "handedness_accuracy" not in metrics


def test_handedness_is_the_definition(rng):
    pred, gt, valid, hand_type = random_hands(rng)
    labelled = rng.random(len(pred)) < 0.8
    valid[::7] = False  # a third of the records have no valid joint, or no valid wrist
    valid[1::7, [20, 41]] = False
    probabilities = np.where(rng.random((len(pred), 2)) < 0.8, hand_type * 0.8 + 0.1, 0.5)  # 0.5 is neither
    right = [
        all(probabilities[n, side] > 0.5 if hand_type[n, side] else probabilities[n, side] < 0.5 for side in range(2))
        for n in range(len(pred))
    ]
    official = mean([right[n] for n in range(len(pred)) if labelled[n]])
    annotated = mean(
        [
            right[n]
            for n in range(len(pred))
            if labelled[n] and any(valid[n, start : start + 21].any() and valid[n, start + 20] for start in (0, 21))
        ]
    )
    tables = (
        JointTable(range(len(pred)), pred, np.ones_like(valid), {"handedness": probabilities}),
        JointTable(range(len(pred)), gt, valid, {"hand_type": hand_type, "hand_type_valid": labelled}),
    )
    metrics = PROTOCOLS["interhand26m"].score(*tables).metrics
    assert metrics["handedness_accuracy_annotated"] == pytest.approx(annotated)
    assert "handedness_accuracy" not in metrics
    metrics = PROTOCOLS["interhand26m"].score(tables[0], replace(tables[1], has_every_record=True)).metrics
    assert metrics["handedness_accuracy"] == pytest.approx(official)
    assert abs(annotated - official) > 0.01
    assert 0.1 < official < 0.9


# ---- RHP


def palm_frame(hand):
    """Hand3d: the middle of wrist and middle1 replaces the wrist, and is the origin."""
    palm = [(hand[WRIST][i] + hand[MIDDLE1][i]) / 2 for i in range(3)]
    return [minus(palm if joint == WRIST else hand[joint], palm) for joint in range(21)]


def test_rhp_is_the_definition(rng):
    pred, gt, valid, _ = random_hands(rng, sides=("right", "left"))
    plain, scaled = [[] for _ in range(21)], [[] for _ in range(21)]
    for n in range(len(pred)):
        side = 0 if valid[n, :21].any() else 21
        p, t, v = pred[n, side : side + 21], gt[n, side : side + 21], valid[n, side : side + 21]
        palm_p, palm_t = palm_frame(p), palm_frame(t)
        bone_p, bone_t = distance(p[MIDDLE1], p[MIDDLE2]), distance(t[MIDDLE1], t[MIDDLE2])
        for joint in range(21):
            if v[joint] and v[WRIST]:
                plain[joint].append(distance(minus(p[joint], p[WRIST]), minus(t[joint], t[WRIST])))
            if v[joint] and v[WRIST] and v[MIDDLE1] and v[MIDDLE2]:
                scaled[joint].append(distance([x * bone_t / bone_p for x in palm_p[joint]], palm_t[joint]))
    metrics = score_rhp(pred, gt, valid).metrics
    assert metrics["EPE_rr_macro_mm"] == pytest.approx(macro(plain), abs=1e-6)
    assert metrics["EPE_palm_bonescaled_mean_mm"] == pytest.approx(macro(scaled), abs=1e-6)
    assert metrics["EPE_palm_bonescaled_median_mm"] == pytest.approx(
        mean([np.median(part) for part in scaled]), abs=1e-6
    )
    assert metrics["AUC_palm_bonescaled_0_50_mm"] == pytest.approx(auc(scaled, 0, 50, 20), abs=1e-9)
    assert metrics["AUC_palm_bonescaled_21_50_mm"] == pytest.approx(auc(scaled, 50 * 8 / 19, 50, 12), abs=1e-9)
    assert metrics["hands"] == len(plain[WRIST])
    assert metrics["hands_palm_bonescaled"] == len(scaled[WRIST])


def test_hand3d_is_the_definition(rng):
    """As eval_full.py: all true joints are known, each counts if it is seen, the palm if wrist or middle1 is."""
    gt = rng.normal(scale=40, size=(60, 21, 3))
    pred = gt + rng.normal(scale=12, size=gt.shape)
    seen = rng.random((60, 21)) < 0.7
    lists = [[] for _ in range(21)]
    for n in range(60):
        palm_p, palm_t = palm_frame(pred[n]), palm_frame(gt[n])
        scale = distance(gt[n, MIDDLE1], gt[n, MIDDLE2]) / distance(pred[n, MIDDLE1], pred[n, MIDDLE2])
        for joint in range(21):
            if seen[n, joint] or (joint == WRIST and seen[n, MIDDLE1]):
                lists[joint].append(distance([x * scale for x in palm_p[joint]], palm_t[joint]))
    valid = seen | (np.arange(21) == WRIST)
    metrics = score_rhp(pred, np.where(valid[..., None], gt, 0), valid, all_joints=gt, seen=seen).metrics
    assert metrics["EPE_hand3d_mean_mm"] == pytest.approx(macro(lists), abs=1e-6)
    assert metrics["EPE_hand3d_median_mm"] == pytest.approx(mean([np.median(part) for part in lists]), abs=1e-6)
    assert metrics["AUC_hand3d_0_50_mm"] == pytest.approx(auc(lists, 0, 50, 20), abs=1e-9)
    assert metrics["AUC_hand3d_21_50_mm"] == pytest.approx(auc(lists, 50 * 8 / 19, 50, 12), abs=1e-9)
    assert metrics["hands_hand3d"] == 60 > metrics["hands_palm_bonescaled"] > 15  # the other way of counting
    assert abs(metrics["EPE_hand3d_mean_mm"] - metrics["EPE_palm_bonescaled_mean_mm"]) > 0.01
    everything = score_rhp(pred, gt, np.ones((60, 21)), all_joints=gt, seen=np.ones((60, 21))).metrics
    for name in ("EPE_{}_mean_mm", "EPE_{}_median_mm", "AUC_{}_0_50_mm", "AUC_{}_21_50_mm", "hands_{}"):
        assert everything[name.format("hand3d")] == everything[name.format("palm_bonescaled")]  # eval3d.py
    for options in ({}, {"all_joints": gt}, {"seen": seen}):  # both are needed
        assert "EPE_hand3d_mean_mm" not in score_rhp(pred, gt, valid, **options).metrics


@pytest.mark.parametrize(("hidden", "palm"), [([WRIST], True), ([MIDDLE1], True), ([WRIST, MIDDLE1], False)])
def test_hand3d_counts_the_palm_if_an_end_of_it_is_seen(hidden, palm):
    gt, seen = np.random.default_rng(1).normal(scale=40, size=(1, 21, 3)), np.ones((1, 21), dtype=bool)
    seen[0, hidden] = False
    counted = hand3d_errors(gt, gt, seen).valid[0]
    assert counted[WRIST] == palm
    assert counted[MIDDLE1] == seen[0, MIDDLE1]
    assert counted.sum() == 19 + (MIDDLE1 not in hidden) + palm


def test_rhp_is_the_same_with_21_joints(rng):
    pred, gt, valid, _ = random_hands(rng, sides=("left",))
    two, one = score_rhp(pred, gt, valid).metrics, score_rhp(pred[:, 21:], gt[:, 21:], valid[:, 21:]).metrics
    assert one == pytest.approx(two)


def test_hand3d_takes_neither_place_nor_size_from_the_prediction(rng):
    pred, gt, valid, _ = random_hands(rng, sides=("right",))
    moved = score_rhp(3 * pred + [10, 20, 30], gt, valid).metrics
    original = score_rhp(pred, gt, valid).metrics
    assert moved["EPE_palm_bonescaled_mean_mm"] == pytest.approx(original["EPE_palm_bonescaled_mean_mm"])
    assert moved["EPE_rr_macro_mm"] > 2 * original["EPE_rr_macro_mm"]


# ---- NYU


def test_nyu_is_the_definition(rng):
    gt = rng.normal(scale=40, size=(50, 14, 3)) + np.array([0, 0, 700])
    pred = gt + rng.normal(scale=15, size=gt.shape)
    valid = rng.random((50, 14)) < 0.9
    valid[7] = False
    frames = [[distance(pred[n, joint], gt[n, joint]) for joint in range(14) if valid[n, joint]] for n in range(50)]
    frames = [errors for errors in frames if errors]
    joints = joined(frames)
    scores = score_nyu(pred, gt, valid)
    assert scores.metrics["mean_error_abs_mm"] == pytest.approx(mean(joints), abs=1e-6)
    assert scores.metrics["frames"] == 49
    for kind, errors in {
        "max-frame": [max(part) for part in frames],
        "mean-frame": [mean(part) for part in frames],
        "joint": joints,
    }.items():
        assert scores.curves[kind].thresholds_mm.tolist() == list(range(85))
        assert scores.curves[kind].fraction == pytest.approx([mean([e <= t for e in errors]) for t in range(85)])
    assert scores.metrics["success_max_frame_40_mm"] == scores.curves["max-frame"].fraction[40]


def test_nyu_by_hand():
    """Two frames: one joint is 3-4-0 mm off, and everything 20 mm too far."""
    gt = np.zeros((2, 14, 3))
    pred = gt.copy()
    pred[0, 5] = 3, 4, 0
    pred[1, :, 2] = 20
    scores = score_nyu(pred, gt)
    assert scores.metrics["mean_error_abs_mm"] == pytest.approx((5 + 14 * 20) / 28)  # absolute: a shift counts
    assert scores.curves["max-frame"].fraction[[4, 5, 19, 20]].tolist() == [0, 0.5, 0.5, 1]  # <=
    assert scores.curves["mean-frame"].fraction[[0, 1, 20]].tolist() == [0, 0.5, 1]  # 5 / 14 mm
    assert scores.curves["joint"].fraction[[0, 5, 20]].tolist() == [13 / 28, 0.5, 1]
    assert scores.metrics["success_max_frame_10_mm"] == 0.5
    reported = [name for name in scores.metrics if name.startswith("success")]
    assert reported == [f"success_max_frame_{threshold}_mm" for threshold in (10, 20, 30, 40)]
    assert scores.metrics["success_max_frame_20_mm"] == 1
    perfect = score_nyu(gt, gt)
    assert all(curve.fraction[0] == 1 for curve in perfect.curves.values())  # 0 mm is within 0 mm


# ---- DexYCB


def procrustes(pred, gt):
    """FreiHAND's alignment written down: unit norms, orthogonal Procrustes, sum of singular values as scale."""
    mean_t, mean_p = gt.mean(axis=0), pred.mean(axis=0)
    t, p = gt - mean_t, pred - mean_p
    norm_t, norm_p = np.sqrt((t * t).sum()) + 1e-8, np.sqrt((p * p).sum()) + 1e-8
    left, singular, right = np.linalg.svd((t / norm_t).T @ (p / norm_p))
    return (p / norm_p) @ (left @ right).T * singular.sum() * norm_t + mean_t


def test_dexycb_is_the_definition(rng):
    gt = rng.normal(scale=40, size=(30, 21, 3)) + np.array([0, 0, 800])
    pred = gt + rng.normal(scale=20, size=gt.shape)
    pred[:10] = pred[:10] * [-1, 1, 1]  # mirrored: only a reflection gets them back
    lists = {kind: [[] for _ in range(21)] for kind in ("abs", "rr", "PA")}
    for n in range(30):
        aligned = procrustes(pred[n], gt[n])
        for joint in range(21):
            lists["abs"][joint].append(distance(pred[n, joint], gt[n, joint]))
            lists["rr"][joint].append(
                distance(minus(pred[n, joint], pred[n, WRIST]), minus(gt[n, joint], gt[n, WRIST]))
            )
            lists["PA"][joint].append(distance(aligned[joint], gt[n, joint]))
    metrics = score_dexycb(pred, gt).metrics
    for kind, name in {"abs": "MPJPE_abs_macro_mm", "rr": "MPJPE_rr_macro_mm", "PA": "PA_MPJPE_macro_mm"}.items():
        assert metrics[name] == pytest.approx(macro(lists[kind]), abs=1e-6)
        assert metrics[f"AUC_{kind}_0_50_mm"] == pytest.approx(auc(lists[kind], 0, 50, 100), abs=1e-9)
    assert metrics["PA_MPJPE_macro_mm"] < 35
    relative = score_dexycb(pred, gt, absolute=False).metrics
    assert not [name for name in relative if "abs" in name]
    assert relative["MPJPE_rr_macro_mm"] == metrics["MPJPE_rr_macro_mm"]


def test_the_toolkits_small_number_counts_where_predictions_are_small(rng):
    """1e-8 beside the norm, as in the code that DexYCB's evaluation uses: a prediction of 4e-8 mm is drawn together."""
    gt = rng.normal(scale=40, size=(6, 21, 3)) + np.array([0, 0, 800])
    pred = (gt - gt.mean(axis=1, keepdims=True)) * 1e-10
    errors = [distance(procrustes(p, t)[joint], t[joint]) for p, t in zip(pred, gt, strict=True) for joint in range(21)]
    metrics = score_dexycb(pred, gt).metrics
    assert metrics["PA_MPJPE_macro_mm"] == pytest.approx(mean(errors), rel=1e-6)
    assert metrics["PA_MPJPE_macro_mm"] > 10


def test_dexycb_alignments_take_away_what_they_should(rng):
    gt = rng.normal(scale=40, size=(5, 21, 3))
    shifted = score_dexycb(gt + np.array([30, 0, 40]), gt).metrics
    assert shifted["MPJPE_abs_macro_mm"] == pytest.approx(50)
    assert shifted["MPJPE_rr_macro_mm"] == pytest.approx(0)
    scaled = score_dexycb(1.5 * gt[..., ::-1] + [30, 0, 40], gt).metrics  # two axes swapped: a mirror image
    assert scaled["MPJPE_rr_macro_mm"] > 10
    assert scaled["PA_MPJPE_macro_mm"] == pytest.approx(0, abs=1e-4)


def test_dexycb_by_hand():
    """A joint moved by 3-4-0 mm in one of two images; and a wrist, which moves all others in the root-relative row."""
    gt = np.random.default_rng(1).normal(scale=40, size=(2, 21, 3))
    pred = gt.copy()
    pred[0, 7] += [3, 4, 0]
    metrics = score_dexycb(pred, gt).metrics
    assert metrics["MPJPE_abs_macro_mm"] == pytest.approx(2.5 / 21)
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(2.5 / 21)
    pred = gt.copy()
    pred[:, WRIST] += [3, 4, 0]
    metrics = score_dexycb(pred, gt).metrics
    assert metrics["MPJPE_abs_macro_mm"] == pytest.approx(5 / 21)
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(5 * 20 / 21)


# ---- AssemblyHands


def test_assemblyhands_is_the_definition(rng):
    pred, gt, valid, _ = random_hands(rng)
    official = [[] for _ in range(42)]
    plain, scaled = [[] for _ in range(21)], [[] for _ in range(21)]
    for n in range(len(pred)):
        for start in (0, 21):
            wrist, knuckle = start + WRIST, start + MIDDLE1
            scale = distance(gt[n, wrist], gt[n, knuckle]) / distance(pred[n, wrist], pred[n, knuckle])
            for joint in range(21):
                if not (valid[n, start + joint] and valid[n, wrist]):
                    continue
                offset = minus(pred[n, start + joint], pred[n, wrist])
                true_offset = minus(gt[n, start + joint], gt[n, wrist])
                official[start + joint].append(distance(offset, true_offset))
                plain[joint].append(distance(offset, true_offset))
                if valid[n, knuckle]:
                    scaled[joint].append(distance([scale * x for x in offset], true_offset))
    metrics = score_assemblyhands(pred, gt, valid).metrics
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(macro(official), abs=1e-6)
    assert metrics["MPJPE_rr_pooled_hands_mm"] == pytest.approx(macro(plain), abs=1e-6)
    assert metrics["MPJPE_rr_bonescaled_pooled_hands_mm"] == pytest.approx(macro(scaled), abs=1e-6)
    assert metrics["AUC_rr_20_50_mm"] == pytest.approx(auc(plain, 20, 50, 15), abs=1e-9)
    assert metrics["AUC_rr_bonescaled_20_50_mm"] == pytest.approx(auc(scaled, 20, 50, 15), abs=1e-9)
    assert abs(metrics["MPJPE_rr_macro_mm"] - metrics["MPJPE_rr_pooled_hands_mm"]) > 1e-3
    assert (metrics["hands"], metrics["hands_bonescaled"]) == (len(plain[WRIST]), len(scaled[WRIST]))


@pytest.mark.parametrize("size", [0.5, 1e-3])  # the second: hands of a model whose unit is not mm
def test_the_bone_scale_takes_the_size_from_the_gt(size, rng):
    pred, gt, valid, _ = random_hands(rng)
    small, original = (score_assemblyhands(joints, gt, valid).metrics for joints in (size * pred, pred))
    name = "MPJPE_rr_bonescaled_pooled_hands_mm"
    assert small[name] == pytest.approx(original[name])
    assert small["MPJPE_rr_pooled_hands_mm"] > 1.5 * original["MPJPE_rr_pooled_hands_mm"]


def test_a_hand_without_size_cannot_be_scaled(rng):
    """All joints in one point, what a model may predict before it has learnt anything."""
    pred, gt, valid, _ = random_hands(rng)
    with np.errstate(all="raise"):
        metrics = score_assemblyhands(np.zeros_like(pred), gt, valid).metrics
    assert np.isnan(metrics["MPJPE_rr_bonescaled_pooled_hands_mm"])
    assert metrics["AUC_rr_bonescaled_20_50_mm"] == 0
    assert 20 < metrics["MPJPE_rr_pooled_hands_mm"] < 200


def test_assemblyhands_in_the_world_is_scored_in_the_cameras_frames(rng):
    pred, gt, valid, _ = random_hands(rng)
    turns = np.linalg.qr(rng.normal(size=(len(pred), 3, 3)))[0]
    places = 100 * rng.normal(size=(len(pred), 3))
    in_camera = [
        [[turn @ point + place for point in joints] for joints, turn, place in zip(table, turns, places, strict=True)]
        for table in (pred, gt)
    ]
    extrinsic = np.concatenate([turns, places[..., None]], axis=2)
    tables = (
        JointTable(range(len(pred)), pred, np.ones_like(valid)),
        JointTable(range(len(pred)), gt, valid, {"extrinsic": extrinsic}),
    )
    expected = score_assemblyhands(np.array(in_camera[0]), np.array(in_camera[1]), valid).metrics
    found = PROTOCOLS["assemblyhands"].score(*tables).metrics
    assert found == pytest.approx(expected, nan_ok=True)
    assert found != pytest.approx(
        score_assemblyhands(pred, gt, valid).metrics, nan_ok=True
    )  # the constant-pose baseline


def test_turning_world_and_camera_changes_nothing(rng):
    pred, gt, valid, _ = random_hands(rng)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = score_assemblyhands(pred @ turn + 500, gt @ turn + 500, valid).metrics
    assert moved == pytest.approx(score_assemblyhands(pred, gt, valid).metrics, abs=1e-6)


# ---- all of them


@pytest.mark.parametrize(
    ("score", "low", "high", "points"), [("dexycb", 0, 50, 100), ("rhp", 0, 50, 20), ("assemblyhands", 20, 50, 15)]
)
@pytest.mark.parametrize("error", [0, 10, 25, 33, 60])
def test_auc_of_a_constant_error(score, low, high, points, error):
    """Range and number of points show in the area: steps from the first point >= error on, wrists with error 0."""
    gt = np.random.default_rng(2).normal(scale=40, size=(3, 21, 3))
    pred = gt + np.where(np.arange(21)[:, None] == WRIST, 0, [error, 0, 0])
    if score == "rhp":  # the palm moves by half of the error, which would blur the case: take joints but the unit's
        pred = gt + np.where(np.isin(np.arange(21), [WRIST, MIDDLE1, MIDDLE2])[:, None], 0, [error, 0, 0])
    if score == "assemblyhands":
        two = np.concatenate([gt, gt], axis=1)
        metrics = score_assemblyhands(np.concatenate([pred, pred], axis=1), two, np.ones((3, 42))).metrics
        got, still = metrics["AUC_rr_20_50_mm"], 1
    elif score == "rhp":
        got, still = score_rhp(pred, gt, np.ones((3, 21))).metrics["AUC_palm_bonescaled_0_50_mm"], 3
    else:
        got, still = score_dexycb(pred, gt).metrics["AUC_rr_0_50_mm"], 1
    curve = [float(low + (high - low) * step / (points - 1) >= error) for step in range(points)]
    area = sum((a + b) / 2 for a, b in zip(curve[1:], curve[:-1], strict=True)) / (points - 1)
    assert got == pytest.approx((still + (21 - still) * area) / 21)


def test_nan_is_never_hidden(rng):
    pred, gt, valid, hand_type = random_hands(rng)
    pred[np.flatnonzero(valid[:, [0, 20]].all(axis=1))[0]] = np.nan
    assert np.isnan(score_interhand26m(pred, gt, valid, hand_type).metrics["MPJPE_rr_macro_all_mm"])
    assert np.isnan(score_assemblyhands(pred, gt, valid).metrics["MPJPE_rr_macro_mm"])
    assert np.isnan(score_rhp(pred, gt, valid).metrics["EPE_rr_macro_mm"])
    hands = np.ones((len(pred), 21))
    scores = score_dexycb(pred[:, :21], gt[:, :21], hands)
    assert np.isnan(scores.metrics["PA_MPJPE_macro_mm"])
    assert 0 < scores.metrics["AUC_PA_0_50_mm"] < 1
    frames = score_nyu(pred[:, :14], gt[:, :14])
    assert np.isnan(frames.metrics["mean_error_abs_mm"])
    assert frames.curves["max-frame"].fraction[-1] <= 1 - 1 / len(pred)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_sample_and_one(name, number):
    joints = np.zeros((number, PROTOCOLS[name].skeleton.num_joints, 3))
    table = JointTable(
        range(number), joints, np.ones(joints.shape[:2], dtype=bool), {"hand_type": np.ones((number, 2), dtype=bool)}
    )
    with np.errstate(all="raise"):
        metrics = PROTOCOLS[name].score(table, table).metrics
    main = metrics[PROTOCOLS[name].main]
    assert main == 0 if number else np.isnan(main)
