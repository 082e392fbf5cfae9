"""AssemblyHands' JSON files: labels, predictions by frame and by camera, and what the HANDS challenges ask for."""

import json

import numpy as np
import pytest

from dfmamba.datasets.assemblyhands.results import read_assemblyhands_json, write_assemblyhands_json
from dfmamba.errors import DataError
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import read_result_file
from dfmamba.evaluation.score_tables import score_tables
from dfmamba.skeleton import HAND_JOINTS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def world(value=5.0):
    return np.full((42, 3), value).tolist()


def test_assemblyhands_labels_and_hands_that_were_not_predicted(tmp_path):
    path = tmp_path / "joints.json"
    labels = {"world_coord": world(), "joint_valid": [[1]] * 20 + [[0]] * 22}
    blank = np.full((42, 3), 7.0)
    blank[:21], blank[21:] = 0, -1
    half = np.full((42, 3), 7.0)
    half[21:] = 0
    path.write_text(
        json.dumps(
            {
                "annotations": {
                    "a": {"000002": labels, "000004": {"world_coord": blank.tolist()}},
                    "b": {"000002": {"world_coord": half.tolist()}},
                }
            }
        )
    )
    table = read_assemblyhands_json(path)
    assert table.ids == ["a/000002", "a/000004", "b/000002"]
    assert table.valid.sum(axis=1).tolist() == [20, 0, 21]
    assert table.valid[2, :21].all()


def test_assemblyhands_takes_the_mean_of_cameras(tmp_path):
    """The right hand is seen by two cameras, the left one by one."""
    joints = np.zeros((3, 42, 3))
    joints[0, :21], joints[1, :21], joints[2, 21:] = 10, 20, 5
    valid = np.repeat(np.array([[1, 0], [1, 0], [0, 1]], dtype=bool), 21, axis=1)
    write_assemblyhands_json(tmp_path / "x.json", JointTable(["s/000000"] * 3, joints, valid))
    table = read_assemblyhands_json(tmp_path / "x.json")
    assert table.ids == ["s/000000"]
    assert (table.joints_mm[0, :21] == 15).all()
    assert (table.joints_mm[0, 21:] == 5).all()


def test_assemblyhands_keeps_what_each_camera_gave(tmp_path):
    """Right: cameras a and b. Left: camera b."""
    joints = np.zeros((3, 42, 3))
    joints[0, :21], joints[1, :21], joints[2, 21:] = 10, 20, 5
    valid = np.repeat(np.array([[1, 0], [1, 0], [0, 1]], dtype=bool), 21, axis=1)
    fields = {"camera": np.array(["a", "b", "b"])}
    write_assemblyhands_json(tmp_path / "x.json", JointTable(["s/000000"] * 3, joints, valid, fields))
    table = read_assemblyhands_json(tmp_path / "x.json", by_camera=True)
    assert table.ids == ["s/000000/a", "s/000000/b"]
    assert table.fields["camera"].tolist() == ["a", "b"]
    assert table.valid.reshape(2, 2, 21).all(axis=2).tolist() == [[True, False], [True, True]]
    assert table.joints_mm[:, [0, 41], 0].tolist() == [[10, 0], [20, 5]]
    assert "camera" not in read_assemblyhands_json(tmp_path / "x.json").fields


@pytest.mark.parametrize("mark", [0, -1, 1])
def test_the_challenges_marks_are_no_predictions(mark, tmp_path):
    """[1, 1, 1] is what HANDS 2024's template holds, [0, 0, 0] and [-1, -1, -1] are HANDS 2023's."""
    path, both = tmp_path / "joints.json", np.full((42, 3), 7.0)
    both[21:] = mark
    entry = {"world_coord": both.tolist()}
    path.write_text(json.dumps({"annotations": {"s": {"000002": entry, "000004": entry | {"joint_valid": [1] * 42}}}}))
    assert read_assemblyhands_json(path).valid.reshape(2, 2, 21).all(axis=2).tolist() == [[True, False]] * 2
    both[21, 0] = 2  # one number that is another: a prediction, however odd
    path.write_text(json.dumps({"annotations": {"s": {"000002": {"world_coord": both.tolist()}}}}))
    assert read_assemblyhands_json(path).valid.all()


def hands_2024(joints):
    """HANDS 2024's layout, for one camera pair: recording, camera, frame, 21 joints."""
    return {
        "info": {"version": "eccv24-v1.0"},
        "annotations": {
            "HMC_1+HMC_2": {
                "rec": {
                    camera: {str(frame): hand for frame, hand in frames.items()} for camera, frames in joints.items()
                }
            }
        },
    }


def test_hands_2024_by_hand(tmp_path):
    """The wrist first, each finger from its base, as S2DHand's toolkit draws it; the template's [1, 1, 1]."""
    path = tmp_path / "eccv24.json"
    hand = np.arange(63.0).reshape(21, 3)
    path.write_text(json.dumps(hands_2024({"HMC_1": {8: hand.tolist()}, "HMC_2": {8: np.ones((21, 3)).tolist()}})))
    for by_camera in (False, True):
        table = read_assemblyhands_json(path, by_camera=by_camera)
        assert table.ids == ["HMC_1+HMC_2/rec/HMC_1/8", "HMC_1+HMC_2/rec/HMC_2/8"]
        assert table.fields["camera"].tolist() == ["HMC_1", "HMC_2"]
        assert table.valid.all(axis=1).tolist() == [True, False]
        assert not table.valid[1].any()
        for name, row in {"wrist": 0, "thumb1": 1, "thumb4": 4, "index1": 5, "pinky4": 20}.items():
            assert table.joints_mm[0, HAND_JOINTS.index(name)].tolist() == hand[row].tolist()


def test_hands_2024_is_scored_as_s2dhand_does(rng, tmp_path):
    """Wrist and scale from the ground truth, right and left hands alike; no mean over 42 joints."""
    steps = rng.normal(size=(4, 21, 3))
    gt = (30 * steps / np.linalg.norm(steps, axis=-1, keepdims=True)).cumsum(axis=1)
    pred = 2 * (gt + rng.normal(scale=5, size=gt.shape))
    errors = []
    for p, t in zip(pred, gt, strict=True):  # wrist 0, middle1 9
        scale = np.linalg.norm(t[9] - t[0]) / np.linalg.norm(p[9] - p[0])
        errors.append(np.linalg.norm(scale * (p - p[0]) - (t - t[0]), axis=1))
    paths = tmp_path / "gt.json", tmp_path / "pred.json"
    for path, hands in zip(paths, (gt, pred), strict=True):
        path.write_text(
            json.dumps(
                hands_2024(
                    {"HMC_1": {n: hands[n].tolist() for n in (0, 1)}, "HMC_2": {n: hands[n].tolist() for n in (2, 3)}}
                )
            )
        )
    tables = [read_result_file("assemblyhands", path) for path in paths]
    scores, notes = score_tables("assemblyhands", tables[1], tables[0])
    assert scores.metrics["MPJPE_rr_bonescaled_pooled_hands_mm"] == pytest.approx(np.mean(errors))
    assert scores.metrics["hands"] == 4
    assert "MPJPE_rr_macro_mm" not in scores.metrics
    assert notes == []
    by_frame = JointTable(["s/000000"], rng.normal(scale=50, size=(1, 42, 3)), np.ones((1, 42), dtype=bool))
    with pytest.raises(ValueError, match=r"pred.json: expected 42 joints as in .*, got 21"):
        score_tables("assemblyhands", tables[1], by_frame)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"HMC_1+HMC_2": [1]}, "HMC_1.HMC_2: expected a dictionary of recordings, got list"),
        (
            {"HMC_1+HMC_2": {"rec": {"HMC_1": {"8": [[0, 0, 0]] * 20}}}},
            r"HMC_1.HMC_2/rec/HMC_1/8: expected finite numbers of shape \(21, 3\)",
        ),
        (
            {"HMC_1+HMC_2": {"rec": {"HMC_1": [[0, 0, 0]] * 21}}},
            "rec/HMC_1: expected a dictionary of frames, got ndarray",
        ),
        (
            {"s": {"000002": {"world_coord": [[5, 5, 5]] * 42, "cameras": {"a": [1]}}}},
            "s/000002/a: expected a dictionary of 'world_coord', got list",
        ),
    ],
)
def test_broken_camera_entries(content, message, tmp_path):
    path = tmp_path / "joints.json"
    path.write_text(json.dumps({"annotations": content}))
    with pytest.raises(DataError, match=message):
        read_assemblyhands_json(path, by_camera=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"annotations": {"s": {"000', r"joints.json: expected a complete JSON file, got an error: .*cut short"),
        ({"annotations": []}, "expected a dictionary 'annotations' of recordings, got list"),
        ([], "expected a dictionary 'annotations'"),
        ({"annotations": {"s": [1]}}, "s: expected a dictionary of frames, got list"),
        ({"annotations": {"s": {"000002": {"world": 1}}}}, "s/000002: expected a dictionary with 'world_coord'"),
        (
            {"annotations": {"s": {"000002": {"world_coord": world()[:41]}}}},
            r"s/000002: expected finite numbers of shape \(42, 3\) for 'world_coord', got shape \(41, 3\)",
        ),
        ({"annotations": {"s": {"000002": {"world_coord": [["x"] * 3] * 42}}}}, r"s/000002: expected finite numbers"),
        (
            {"annotations": {"s": {"000002": {"world_coord": world(float("nan"))}}}},
            r"s/000002: expected finite numbers of shape .* for 'world_coord', got 126 that are not, such as nan",
        ),
        (
            {"annotations": {"s": {"000002": {"world_coord": world(), "joint_valid": [1] * 21}}}},
            r"expected 0 and 1 of shape \(42,\) for 'joint_valid', got shape \(21,\)",
        ),
        ('{"annotations": {"s": {"000002": {}, "000002": {}}}}', "expected each key once, got the key '000002' twice"),
        ({"annotations": {}}, "expected at least one frame, got none"),
    ],
)
def test_broken_assemblyhands_files(content, message, tmp_path):
    path = tmp_path / "joints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_assemblyhands_json(path)
