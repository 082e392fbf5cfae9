"""The comparison with other programs: what it takes for true, what it reads of a peer, what it reports."""

import json
import stat
import sys

import numpy as np
import pytest

import compare_peers
from dfmamba.engine.config import load_config
from dfmamba.errors import UserError
from dfmamba.skeleton import FROM_DEXYCB, SIDES, inverse

# A peer that knows the truth: a Python that does not look at pictures, and shifts every joint by (3, 4) px.
PEER = """#!{python}
import json, sys
truth = json.load(open({truth!r}))
paths = json.load(open(sys.argv[2]))
json.dump({{"program": "peer 1.0", "pictures": [{{"seconds": 0.02, "hands": truth[path]}} for path in paths]}},
          open(sys.argv[3], "w"))
"""


@pytest.fixture
def config(synthetic_set):
    root = synthetic_set("interhand26m")
    return load_config("configs/demo/dfmamba_interhand_demo.py", [f"test_dataloader.dataset.data_root={root}"])


def write_peer(folder, paths, there):
    """Write a program in the place of MediaPipe's Python."""
    order = list(inverse(FROM_DEXYCB))
    truth = {
        path: [
            {
                "side": hand.side,
                "presence": 1.0,
                "keypoints_px": (hand.keypoints_px[order] + [3, 4]).tolist(),
                "keypoints_mm": hand.keypoints_mm[order].tolist(),
            }
            for hand in hands
        ]
        for path, hands in zip(paths, there, strict=True)
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    peer = folder / "python"
    peer.write_text(PEER.format(python=sys.executable, truth=str(folder / "truth.json")))
    peer.chmod(peer.stat().st_mode | stat.S_IXUSR)
    return peer


def test_true_hands_are_the_data_sets(config):
    paths, there, boxes = compare_peers.true_hands(config, None)
    assert len(paths) == len(set(paths)) == len(there) == len(boxes)
    kinds = {tuple(hand.side for hand in hands) for hands in there}
    assert kinds == {SIDES, SIDES[:1], SIDES[1:]}
    for hands, box in zip(there, boxes, strict=True):
        points = np.concatenate([hand.keypoints_px[hand.valid] for hand in hands])
        low, high = points.min(axis=0), points.max(axis=0)
        assert (low >= box[0, :2] - 1).all()
        assert (high <= box[0, 2:] + 1).all()
    assert len(compare_peers.true_hands(config, 2)[0]) == 2


def test_a_peer_that_knows_the_truth_finds_all_of_it(config, tmp_path):
    paths, there, _ = compare_peers.true_hands(config, 4)
    name, found, ms = compare_peers.run_peer(write_peer(tmp_path, paths, there), paths, tmp_path)
    from dfmamba.evaluation.found_hands import score_found

    score = score_found(there, found)
    assert (name, ms) == ("peer 1.0", pytest.approx(20))
    assert score.found == score.right_side == score.there == sum(len(hands) for hands in there)
    assert score.error_px == pytest.approx(5)
    assert score.root_relative_mm == pytest.approx(0, abs=1e-4)
    assert "| peer 1.0 | " in compare_peers.as_markdown([(name, score, ms)])


def test_a_peer_that_fails_is_one_message(tmp_path):
    peer = tmp_path / "python"
    peer.write_text("#!/bin/sh\necho 'No module named mediapipe' >&2\nexit 1\n")
    peer.chmod(0o755)
    with pytest.raises(UserError, match=r"--peer: .* failed: No module named mediapipe"):
        compare_peers.run_peer(peer, ["a.jpg"], tmp_path)


def test_sets_of_one_hand_a_sample_are_refused(synthetic_set):
    root = synthetic_set("dexycb")
    config = load_config("configs/demo/dfmamba_dexycb_demo.py", [f"test_dataloader.dataset.data_root={root}"])
    with pytest.raises(UserError, match="expected a test set with both hands in one sample"):
        compare_peers.true_hands(config, None)


@pytest.mark.slow
def test_from_pictures_to_report(config, synthetic_set, tmp_path, monkeypatch, capsys):
    """The model in the box with its finder, on whole pictures and on true boxes, and a peer."""
    paths, there, _ = compare_peers.true_hands(config, 4)
    arguments = ["compare_peers", "configs/demo/dfmamba_interhand_demo.py", "--pictures", "4"]
    arguments += ["--peer", str(write_peer(tmp_path, paths, there)), "--out", str(tmp_path / "out"), "--cfg-options"]
    monkeypatch.setattr("sys.argv", [*arguments, f"test_dataloader.dataset.data_root={synthetic_set('interhand26m')}"])
    compare_peers.main()
    table = capsys.readouterr().out
    names = ("ours, with the finder", "ours, whole pictures", "ours, true boxes", "peer 1.0")
    assert [table.count(f"| {name} |") for name in names] == [1] * 4
    report = json.loads((tmp_path / "out" / "peers.json").read_text())
    assert report["ours, true boxes"]["there"] == sum(len(hands) for hands in there)
    assert report["ours, true boxes"]["ms"] > 0
