import doctest
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from matplotlib.axes import Axes

import dfmamba.evaluation.units
from dfmamba.datasets.nyu.doubts import doubt_about_nyu_gt
from dfmamba.datasets.nyu.results import read_nyu_text
from dfmamba.evaluation import PROTOCOLS, score_dexycb, score_nyu
from dfmamba.evaluation.curves import draw_curves
from dfmamba.evaluation.protocol import Curve, JointTable
from dfmamba.evaluation.score_tables import match, score_tables
from dfmamba.evaluation.units import doubt_about_mm, median_bone
from dfmamba.geometry import NYU_COORDINATES


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def one_hand(rng, samples=6):
    """Hands with bones of some 30 mm: each joint is a step away from its neighbour in the list."""
    steps = rng.normal(size=(samples, 21, 3))
    steps *= 30 / np.linalg.norm(steps, axis=-1, keepdims=True)
    return steps.cumsum(axis=1) + np.array([0, 0, 700])


def make_tables(rng, samples=6):
    gt = one_hand(rng, samples)
    valid = np.ones(gt.shape[:2], dtype=bool)
    pred = gt + rng.normal(scale=5, size=gt.shape)
    ids = [3 * number for number in range(samples)]
    return JointTable(ids, pred, valid, source="pred.txt"), JointTable(ids, gt, valid, source="gt.txt")


def test_rows_are_matched_by_id(rng):
    pred, gt = make_tables(rng)
    scores, notes = score_tables("dexycb", pred.rows([4, 1, 0, 5, 3, 2]), gt)
    assert scores.metrics == score_dexycb(pred.joints_mm, gt.joints_mm).metrics
    assert notes == []


def test_tables_stay_as_they_are(rng):
    pred, gt = make_tables(rng)
    with pytest.raises(FrozenInstanceError):
        pred.source = "other"
    part = replace(gt, has_every_record=True).rows([2, 0])
    assert (part.ids, part.source, part.has_every_record) == ([6, 0], "gt.txt", False)
    np.testing.assert_array_equal(part.joints_mm, gt.joints_mm[[2, 0]])
    assert replace(gt, has_every_record=True).rows(range(6)).has_every_record


def test_missing_samples(rng):
    pred, gt = make_tables(rng)
    with pytest.raises(ValueError, match=r"pred.txt: 2 of 6 samples of gt.txt missing: 0, 12. .*--partial"):
        score_tables("dexycb", pred.rows([1, 2, 3, 5]), gt)
    scores, notes = score_tables("dexycb", pred.rows([1, 2, 3, 5]), gt, partial=True)
    assert scores.metrics == score_dexycb(pred.joints_mm[[1, 2, 3, 5]], gt.joints_mm[[1, 2, 3, 5]]).metrics
    assert notes == ["left out: pred.txt: 2 of 6 samples of gt.txt missing: 0, 12"]


def test_unknown_samples(rng):
    pred, gt = make_tables(rng)
    with pytest.raises(ValueError, match=r"pred.txt: 1 samples that gt.txt does not have: 6. To score"):
        match(pred, gt.rows([0, 1, 3, 4, 5]))
    scores, notes = score_tables("dexycb", pred, gt.rows([0, 1, 3, 4, 5]))  # there: an image without a hand
    assert scores.metrics["hands"] == 5
    assert notes == ["left out: pred.txt: 1 samples that gt.txt does not have: 6"]


def test_no_sample_in_common(rng):
    pred, gt = make_tables(rng)
    other = JointTable([str(identity) for identity in pred.ids], pred.joints_mm, pred.valid, source="pred.txt")
    with pytest.raises(
        ValueError,
        match=r"expected ids as in gt.txt, such as 0, 3, 6, 9, 12, ..., got none of "
        r"them, but '0', '3'",
    ):
        match(other, gt, partial=True)


def test_hands_that_were_not_predicted(rng):
    gt = np.concatenate([one_hand(rng), one_hand(rng)], axis=1)
    ids, valid = list("abcdef"), np.ones((6, 42), dtype=bool)
    there = valid.copy()
    there[2, :21] = there[4, 21:] = False
    tables = JointTable(ids, gt + 1, there, source="p"), JointTable(ids, gt, valid, source="t")
    with pytest.raises(ValueError, match="p: hands of 2 samples of t were not predicted: 'c', 'e'"):
        score_tables("assemblyhands", *tables)
    scores, notes = score_tables("assemblyhands", *tables, partial=True)
    assert scores.metrics["hands_per_frame"] == 10
    assert len(notes) == 1
    unneeded = JointTable(ids, gt, there, source="t")  # neither are they in the ground truth
    assert score_tables("assemblyhands", tables[0], unneeded)[1] == []


def test_rhp_the_wrong_hand(rng):
    """RHD has the left hand first, we the right one: who mixes that up predicts hands that are not asked for."""
    gt, pred = np.zeros((2, 42, 3)), np.zeros((2, 42, 3))
    gt[:, 21:] = one_hand(rng, 2)
    pred[:, :21] = gt[:, 21:]
    left, right = np.arange(42) >= 21, np.arange(42) < 21
    tables = (
        JointTable([1, 2], pred, np.tile(right, (2, 1)), source="p"),
        JointTable([1, 2], gt, np.tile(left, (2, 1)), source="t"),
    )
    with pytest.raises(ValueError, match="p: hands of 2 samples of t were not predicted: 1, 2"):
        score_tables("rhp", *tables)


def test_root_relative_predictions(rng):
    pred, gt = make_tables(rng)
    relative = JointTable(pred.ids, pred.joints_mm - pred.joints_mm[:, [20]], pred.valid, source="pred.txt")
    said = replace(relative, fields={"root_relative": np.ones(len(pred.ids), dtype=bool)})
    scores, notes = score_tables("dexycb", said, gt)
    metrics = scores.metrics
    assert "MPJPE_abs_macro_mm" not in metrics
    assert notes == []
    taken, notes = score_tables("dexycb", relative, gt)
    assert taken.metrics["MPJPE_abs_macro_mm"] > 500
    assert notes == [
        "pred.txt: the predictions may not be absolute: in 100% of the samples the wrist is in the origin."
        " Are they relative to it? Then say --root-relative"
    ]
    assert score_tables("dexycb", pred, gt)[1] == []
    assert metrics["MPJPE_rr_macro_mm"] == pytest.approx(
        score_tables("dexycb", pred, gt)[0].metrics["MPJPE_rr_macro_mm"]
    )


# ---- units


def test_examples_in_docstrings():
    result = doctest.testmod(dfmamba.evaluation.units, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(("factor", "hint"), [(0.001, "Are they in metres?"), (1e-6, "were expected.")])
def test_metres_are_noticed(rng, factor, hint):
    """RHD's pickles and DexYCB's labels are in metres, their result files in mm."""
    pred, gt = make_tables(rng)
    small = JointTable(gt.ids, gt.joints_mm * factor, gt.valid, source="gt.txt")
    with pytest.raises(ValueError, match=rf"gt.txt: expected joints in mm, but the median bone is .*{hint[:-1]}"):
        score_tables("dexycb", pred, small)
    wrong = JointTable(pred.ids, pred.joints_mm * factor, pred.valid, source="pred.txt")
    _, notes = score_tables("dexycb", wrong, gt)
    assert "pred.txt: the predictions may not be in mm" in notes[0]
    assert notes[0].endswith(hint)


def test_marks_of_invalid_joints_do_not_blur_the_unit(rng):
    hands = one_hand(rng)
    valid = rng.random((6, 21)) < 0.6
    hands[~valid] = 1.0
    assert doubt_about_mm(hands, valid) is None
    assert doubt_about_mm(hands * np.nan, valid) is None  # nothing to see


def test_the_unit_is_told_by_the_valid_joints(rng):
    """Two thirds of the joints are marks in one point: with them the median bone has no length."""
    hands = one_hand(rng)
    valid = np.zeros((6, 21), dtype=bool)
    valid[:, [0, 1, 2, 3, 20]] = True  # a thumb
    hands[~valid] = 1.0
    assert median_bone(hands) == 0
    lengths = np.linalg.norm(hands[:, [0, 1, 2, 3]] - hands[:, [1, 2, 3, 20]], axis=-1)
    assert median_bone(hands, valid) == pytest.approx(np.median(lengths))
    assert doubt_about_mm(hands, valid) is None
    hands[0, 0] = np.nan  # a prediction that has diverged says nothing about the unit
    assert median_bone(hands, valid) == pytest.approx(np.median(np.delete(lengths.ravel(), 0)))


@pytest.mark.parametrize(
    ("length", "hint"), [(0.99, "metres"), (1.0, None), (1000.0, None), (1001.0, ""), (0.0009, "expected.")]
)
def test_bones_of_one_to_a_thousand_mm_are_possible(length, hint):
    hand = np.zeros((1, 21, 3))
    for finger in range(5):
        hand[0, 4 * finger : 4 * finger + 4, 2] = length * np.arange(4, 0, -1)
    doubt = doubt_about_mm(hand)
    assert doubt is None if hint is None else hint in doubt
    if hint == "":
        assert doubt.endswith("expected.")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_which_protocols_have_records_that_are_no_samples(name, rng):
    """InterHand2.6M, RHP and DexYCB have records without a hand or a joint; of the others each one is expected."""
    count = PROTOCOLS[name].skeleton.num_joints
    gt = np.tile(one_hand(rng, 4), (1, 2, 1))[:, :count]
    fields = {"hand_type": np.ones((4, 2), dtype=bool)}
    tables = [
        JointTable([1, 2, 3, 4], gt + shift, np.ones((4, count), dtype=bool), fields, name)
        for shift, name in ((1, "p"), (0, "t"))
    ]
    if name in ("nyu", "assemblyhands", "own_data"):
        with pytest.raises(ValueError, match="p: 2 samples that t does not have: 3, 4"):
            score_tables(name, tables[0], tables[1].rows([0, 1]))
    else:
        assert score_tables(name, tables[0], tables[1].rows([0, 1]))[1] == [
            "left out: p: 2 samples that t does not have: 3, 4"
        ]


# ---- NYU's coordinates


def nyu_tables(rng, tmp_path, coordinates, noise=8, samples=30):
    """A hand's ground truth, and predictions that are written in some coordinates and read as u v d."""
    center = rng.uniform([-150, -120, 650], [150, 120, 800], (samples, 1, 3))
    gt = center + rng.normal(scale=35, size=(samples, 14, 3))
    pred = gt + rng.normal(scale=noise, size=gt.shape)
    values = {
        "uvd": [320, 240, 0] + pred * [588.03, 587.07, 1] / np.where([True, True, False], pred[..., 2:], 1),
        "xyz": pred * [1, -1, 1],
        "xyz-y-down": pred,
    }[coordinates]
    path = tmp_path / "pred.txt"
    path.write_text("\n".join(" ".join(map(str, row)) for row in values.reshape(samples, -1)) + "\n")
    valid = np.ones((samples, 14), dtype=bool)
    return path, JointTable(range(1, samples + 1), gt, valid, source="gt.mat")


@pytest.mark.parametrize("written", NYU_COORDINATES)
@pytest.mark.parametrize("read", NYU_COORDINATES)
def test_coordinates_that_were_taken_for_others_are_noticed(written, read, rng, tmp_path):
    path, gt = nyu_tables(rng, tmp_path, written)
    scores, notes = score_tables("nyu", read_nyu_text(path, read), gt)
    error = scores.metrics["mean_error_abs_mm"]
    if read == written:
        assert error < 20
        assert notes == []
        return
    assert error > 50
    assert len(notes) == 1
    assert f"{path}: the predictions may be other coordinates: read as " in notes[0]
    assert notes[0].endswith(f"mm. For that, say --coordinates {written}")


def test_bad_predictions_are_only_bad(rng, tmp_path):
    path, gt = nyu_tables(rng, tmp_path, "uvd", noise=80)
    scores, notes = score_tables("nyu", read_nyu_text(path), gt)
    assert scores.metrics["mean_error_abs_mm"] > 100
    assert notes == []


def test_a_gt_in_space_that_was_read_as_uvd_is_refused(rng, tmp_path):
    path, gt = nyu_tables(rng, tmp_path, "xyz")
    with pytest.raises(
        ValueError,
        match=r"pred.txt: expected u v d of joints, but \d+% of the points lie outside of "
        r"the image .640 x 480 px.. Are they x y z",
    ):
        score_tables("nyu", gt, read_nyu_text(path))


@pytest.mark.parametrize(
    ("axis", "value", "counts"),
    [(0, -1, True), (0, 640, True), (0, 639.9, False), (1, -1, True), (1, 480, True), (1, 479.9, False), (1, 0, False)],
)
def test_some_joints_may_lie_outside_of_the_image(axis, value, counts):
    """A hand at the border is no doubt: up to a tenth of the points."""
    uvd = np.tile([320.0, 240.0, 700.0], (10, 14, 1))
    to_camera, _ = NYU_COORDINATES["uvd"]
    uvd[0, :, axis] = value  # 14 of 140 points
    assert doubt_about_nyu_gt(to_camera(uvd)) is None
    uvd[1, 0, axis] = value
    doubt = doubt_about_nyu_gt(to_camera(uvd))
    assert (doubt is not None) == counts
    assert not counts or doubt.startswith("11% of the points lie outside of the image (640 x 480 px)")


# ---- the picture


def test_curves_are_drawn(tmp_path, rng):
    gt = rng.normal(size=(9, 14, 3))
    scores = score_nyu(gt + rng.normal(scale=20, size=gt.shape), gt)
    empty = {"nothing": Curve(np.arange(3.0), np.full(3, np.nan))}
    draw_curves(tmp_path / "new" / "one.png", {"a": scores.curves}, "One")
    draw_curves(tmp_path / "two.svg", {"a": scores.curves, "b": scores.curves, "c": empty}, "Two")
    assert (tmp_path / "new" / "one.png").read_bytes().startswith(b"\x89PNG")
    drawing = (tmp_path / "two.svg").read_text()
    assert drawing.count("<path") > 10


def test_curves_are_drawn_in_per_cent(tmp_path, monkeypatch):
    drawn, plot = {}, Axes.plot

    def record(axes, x, y, **style):
        drawn[style["label"]] = x.tolist(), y.tolist()
        return plot(axes, x, y, **style)

    monkeypatch.setattr(Axes, "plot", record)
    draw_curves(tmp_path / "one.svg", {"a": {"rising": Curve(np.array([20.0, 30, 40]), np.array([0, 0.25, 1]))}}, "")
    assert drawn == {"rising": ([20, 30, 40], [0, 25, 100])}


def texts_of(path):
    """The texts of a drawing, which stand in comments beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def test_the_picture_says_what_it_shows(tmp_path):
    thresholds = np.linspace(20, 50, 7)
    curves = {
        "rising": Curve(thresholds, np.linspace(0, 1, 7)),
        "flat": Curve(thresholds, np.full(7, 0.5)),
        "partly": Curve(thresholds, np.array([np.nan, *[0.3] * 6])),
    }
    empty = {"nothing": Curve(thresholds, np.full(7, np.nan))}
    draw_curves(tmp_path / "one.svg", {"mine": curves | empty}, "A title")
    texts = texts_of(tmp_path / "one.svg")
    assert {"A title", "threshold (mm)", "within the threshold (%)", "rising", "flat", "partly"} <= set(texts)
    assert {"20", "50", "0", "100"} <= set(texts)  # mm and per cent
    assert not {"nothing", "mine", "mine: rising", "15", "55", "120"} & set(texts)
    draw_curves(tmp_path / "two.svg", {"mine": curves, "yours": curves}, "A title")
    texts = texts_of(tmp_path / "two.svg")
    assert {"mine: rising", "yours: rising", "yours: flat"} <= set(texts)
    colors, dashes = (
        set(re.findall(pattern, (tmp_path / f"{name}.svg").read_text()))
        for pattern, name in ((r"stroke: (#(?:1f77b4|ff7f0e|2ca02c))", "two"), (r"stroke-dasharray: ([\d. ,]+)", "one"))
    )
    assert len(colors) == 2  # one a result
    assert len(dashes) >= 2  # one a kind
    draw_curves(tmp_path / "none.svg", {"mine": empty}, "Nothing")
    assert "Nothing" in texts_of(tmp_path / "none.svg")
