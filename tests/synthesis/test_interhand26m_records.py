import json

import numpy as np
import pytest

from dfmamba.datasets.interhand26m.annotations import parse_interhand26m
from dfmamba.synthesis.interhand26m_records import write_interhand26m_records


def paths(root, split="train"):
    return [
        root / "annotations" / split / f"InterHand2.6M_{split}_{name}.json" for name in ("data", "camera", "joint_3d")
    ]


def test_read_as_written(tmp_path):
    write_interhand26m_records(tmp_path, 250, seed=3, split="val")
    parsed = parse_interhand26m(*paths(tmp_path, "val"))
    columns = parsed.columns
    assert columns["annotation_id"].tolist() == list(range(250))
    assert sum(parsed.skipped.values()) == 0
    assert columns["world_mm"].shape == (4, 42, 3)  # 80 cameras for each frame
    assert len(columns["camera_name"]) == 80
    assert columns["hand_type"][[0, 80, 160, 240]].tolist() == [
        [True, False],
        [False, True],
        [True, True],
        [True, False],
    ]
    assert columns["file_name"][81] == b"Capture0/0000_synthetic_pose/cam400001/image18.jpg"
    np.testing.assert_allclose(np.linalg.det(columns["rotation"]), 1)
    data = json.loads(paths(tmp_path, "val")[0].read_text())
    np.testing.assert_array_equal(columns["bbox_xywh"][7], np.float32(data["annotations"][7]["bbox"]))
    assert columns["joint_valid"][80:160, 21:].mean() > 0.9
    assert not columns["joint_valid"][80:160, :21].any()


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_interhand26m_records(tmp_path / name, 20, seed)
    a, b, c = ([path.read_bytes() for path in paths(tmp_path / name)] for name in "abc")
    assert a == b
    assert a != c


def test_unusable_count(tmp_path):
    with pytest.raises(ValueError, match="count: expected a positive number, got 0"):
        write_interhand26m_records(tmp_path, 0)
