"""A new data set is one folder and one line: the toy of tests/examples goes through every tool, untouched by them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import tool_process
from dfmamba.datasets import spec
from dfmamba.geometry import project
from dfmamba.skeleton import ONE_HAND
from dfmamba.synthesis.hand import articulate, sample_shape
from dfmamba.synthesis.poses import sample_angles

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "examples"
CONFIG = EXAMPLES / "toy_hands" / "config.py"
COUNT = 8


@pytest.fixture
def toy(monkeypatch):
    """The registered toy; the registry is as before afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = dict(spec._registered)
    monkeypatch.setattr(spec, "_registered", dict(before))
    from toy_hands.spec import SPEC

    spec.register_data_set(SPEC)
    SPEC.register()
    return SPEC


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """SYNTHETIC hands before a camera, drawn as lines, and hands.json."""
    return draw_toy_hands(tmp_path_factory.mktemp("toy"))


def draw_toy_hands(folder):
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    joints_mm = articulate(sample_shape(rng), sample_angles("relaxed", rng, COUNT)).joints_mm
    hands = joints_mm + np.array([0, 0, 450])
    records = []
    for number, joints in enumerate(hands):
        image = np.full((96, 96, 3), 40, dtype=np.uint8)
        points = np.round(project(joints, (200.0, 200.0), (47.5, 47.5))).astype(int)
        for start, end in ONE_HAND.bones:
            cv2.line(image, points[start].tolist(), points[end].tolist(), (120, 160, 220), 3)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        records.append({"image": f"{number}.png", "joints_mm": joints.round(3).tolist()})
    (folder / "hands.json").write_text(json.dumps(records))
    return folder


def call(tool, *arguments):
    done = tool_process.run(ROOT / "tools" / f"{tool}.py", *arguments, imports=[EXAMPLES], merge=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_it_is_known_by_its_names(toy):
    import dfmamba.datasets
    import dfmamba.evaluation

    assert list(spec.data_sets())[-1] == "toy_hands"
    assert dfmamba.datasets.ToyHandsDataset.__name__ == "ToyHandsDataset"
    assert dfmamba.datasets.parse_toy_hands.__name__ == "parse_toy_hands"
    assert dfmamba.evaluation.PROTOCOLS["toy_hands"] is toy.protocol
    with pytest.raises(ValueError, match="data set 'toy_hands': expected a writer of synthetic sets, got none"):
        toy.write  # noqa: B018


def test_another_one_of_its_name_is_refused(toy):
    from dataclasses import replace

    with pytest.raises(ValueError, match="data set 'toy_hands': expected a name that is free"):
        spec.register_data_set(replace(toy, title="Others"))
    with pytest.raises(ValueError, match=r"data set: expected one of interhand26m, .*, toy_hands, got 'toys'"):
        spec.data_set("toys")


def test_predictions_are_written_read_and_scored(toy, folder, tmp_path):
    """All joints but the wrist 3-4-0 mm off: 5 mm for 20 of 21 joints, in the metric and in the file."""
    from dfmamba.evaluation.metrics import HandMetric
    from dfmamba.evaluation.score_tables import score_tables

    dataset = spec.resolve_name(toy.adapters[0])(data_root=str(folder), data_prefix={"img": "images"})
    metric = HandMetric("toy_hands", result_file=str(tmp_path / "pred.json"))
    offset = np.where(np.arange(21)[:, None] == ONE_HAND.names.index("wrist"), 0, [3.0, 4, 0])
    for number in range(len(dataset)):
        sample = dataset.get_data_info(number)
        sample["gt_instances"] = {name: sample[name] for name in ("keypoints_cam", "keypoints_visible")}
        sample["pred_instances"] = {"keypoints_cam": sample["keypoints_cam"] + offset}
        metric.process(None, [sample])
    metrics = metric.evaluate(len(dataset))
    assert metrics["toy_hands/MPJPE_rr_macro_mm"] == pytest.approx(5 * 20 / 21, abs=1e-3)
    assert metrics["toy_hands/samples"] == COUNT

    pred = toy.results.read(tmp_path / "pred.json")
    gt = toy.results.read_gt(tmp_path / "pred.json")
    assert len(pred.ids) == COUNT
    assert score_tables("toy_hands", pred, gt)[0].metrics["MPJPE_rr_micro_mm"] == 0


@pytest.mark.slow
def test_train_test_check_and_browse(folder, tmp_path):
    """The tools know nothing of it but the config."""
    data = ["--cfg-options", f"data_root={folder}"]
    for loader in ("train", "val", "test"):
        data.append(f"{loader}_dataloader.dataset.data_root={folder}")
    assert "Nothing is wrong" in call("check_data", CONFIG, *data)
    call("browse_dataset", CONFIG, "--out", tmp_path / "sheet.png", *data)
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    call("train", CONFIG, "--work-dir", tmp_path / "work", *data)
    table = call("test", CONFIG, tmp_path / "work" / "epoch_1.pth", "--work-dir", tmp_path / "work", *data)
    assert "Toy hands, root-relative, mm" in table


def test_a_metric_of_no_data_set_is_refused():
    from dfmamba.evaluation.metrics import HandMetric

    with pytest.raises(ValueError, match="data_set: expected the name of a data set in the registry, got none"):
        HandMetric()
