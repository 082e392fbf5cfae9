import json

import numpy as np
import pytest

from dfmamba.evaluation import PROTOCOLS
from dfmamba.evaluation.detnet_protocol import PROTOCOL as DETNET
from dfmamba.evaluation.report import format_metrics, format_scores, format_table, write_json


def test_lines_are_aligned():
    lines = format_table({"a/long_name_mm": 12.5, "b": np.float32(0.25), "count": 7}).splitlines()
    assert lines[2:] == ["a/long_name_mm   12.5000", "b                 0.2500", "count                  7"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_its_table(name):
    protocol = PROTOCOLS[name]
    metrics = {f"{protocol.prefix}/{protocol.main}": 9.5, f"{protocol.prefix}/{protocol.constant}": 19.0}
    table = format_metrics(metrics)
    assert table == format_scores(protocol, metrics)
    lines = table.splitlines()
    assert lines[0].startswith(protocol.title)
    assert len({len(line) for line in lines[: 1 + len(protocol.table)]}) == 1
    assert "9.50" in table
    assert lines[-1].split() == ["better", "than", "the", "constant-pose", "baseline", "50%"]


def test_tables_of_several_data_sets_and_other_metrics():
    text = format_metrics(
        {
            "rhp/EPE_rr_macro_mm": 17.75,
            "toy/error_px": 1.5,
            "nyu/mean_error_abs_mm": float("nan"),
            "detnet/hands": 3,
            "toy/count": 4,
        }
    )
    parts = text.split("\n\n")
    assert [part.split(",")[0].split()[0] for part in parts] == ["RHP", "metric", "NYU", "DetNet"]
    assert len(parts[1].splitlines()) == 4
    assert "17.75" in parts[0]
    assert "better" not in text  # nothing to compare with


def test_a_longer_prefix_is_shown():
    text = format_metrics({"assemblyhands_true_bone/MPJPE_rr_macro_mm": 9.5, "assemblyhands/hands": 3, "nyuish/x": 1.0})
    tables = text.split("\n\n")
    assert tables[0].splitlines()[0] == "assemblyhands_true_bone"
    assert "9.50" in tables[0]
    assert tables[1].startswith("AssemblyHands")
    assert tables[2].startswith("metric")


def test_counts_and_parts_of_one():
    values = {"AUC_rr_0_50_mm": 0.52987, "hands": 3, "MPJPE_rr_macro_mm": 25.4875}
    row = format_scores(PROTOCOLS["dexycb"], values).splitlines()[2]
    assert row.split() == ["root-relative", "25.49", "0.5299", "-", "3"]


def test_the_constant_pose_stands_beside_what_it_is_compared_with():
    """In the root-relative row, and in no other one."""
    for protocol in (*PROTOCOLS.values(), PROTOCOLS["assemblyhands"].of_frames, DETNET):
        rows = [row for row in protocol.table.values() if row.get("constant-pose baseline") == protocol.constant]
        assert [protocol.main in row.values() for row in rows] == [True]


def test_nothing_is_better_than_a_constant_pose_without_error():
    values = {"MPJPE_rr_macro_mm": 1.0, "constant_pose_rr_macro_mm": 0.0}
    assert "better" not in format_scores(PROTOCOLS["dexycb"], values)
    worse = format_scores(PROTOCOLS["dexycb"], {"MPJPE_rr_macro_mm": 30.0, "constant_pose_rr_macro_mm": 20.0})
    assert worse.splitlines()[-1].split()[-1] == "-50%"


def test_json_knows_no_nan(tmp_path):
    write_json(tmp_path / "new" / "x.json", {"a": np.nan, "b": [np.inf, np.float32(1.5)], "c": np.array([1, 2])})
    text = (tmp_path / "new" / "x.json").read_text()
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": [1, 2]}
    assert text.startswith('{\n  "a": null,\n')  # for people, too
