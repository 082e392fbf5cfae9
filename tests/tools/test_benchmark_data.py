import importlib
import json

import pytest

pytest.importorskip("mmpose")
psutil = pytest.importorskip("psutil")


@pytest.fixture(scope="module")
def tool():
    return importlib.import_module("benchmark_data")  # it imports mmpose


@pytest.fixture(scope="module")
def records(tool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    tool.write_interhand26m_records(folder, 160)
    return folder


@pytest.mark.parametrize("reader", ["dfmamba", "mmpose"])
def test_opening(tool, records, tmp_path, reader):
    row = tool.measure_opening(reader, records, tmp_path / "cache", 50)
    assert row["reader"] == reader
    assert row["records"] > 150  # mmpose drops those whose joints all project to negative coordinates
    assert row["seconds"] > 0
    assert row["samples_per_s"] > 0


@pytest.mark.parametrize("reader", ["no data", "dfmamba"])
def test_workers(tool, records, tmp_path, reader):
    row = tool.measure_workers(reader, records, tmp_path / "cache", 2, 20, 160)
    assert (row["records"], row["workers"]) == (160, 2)
    assert row["all_pss_mb"] > row["worker_uss_mb"] > 0


def test_report(tool):
    result = {
        "machine": ["Begin: here."],
        "openings": [
            {
                "reader": "dfmamba",
                "records": 1234,
                "opening": "later",
                "seconds": 0.0123,
                "cpu_seconds": 0.5,
                "mb": 1.26,
                "peak_mb": 7.0,
                "mb_read": 8.94,
                "samples_per_s": 999.6,
            }
        ],
        "loaders": [
            {
                "reader": "mmpose",
                "records": 5,
                "workers": 8,
                "worker_uss_mb": 3.0,
                "all_pss_mb": 4.4,
                "samples_per_s": 2.0,
            }
        ],
        "pipelines": [{"pipeline": "dfmamba, images only", "samples_per_s": 300.4, "samples_per_cpu_s": 310.0}],
    }
    lines = tool.report(result).splitlines()
    assert "| dfmamba | 1,234 | later | 0.012 | 0.500 | 1.3 | 7 | 8.9 | 1000 |" in lines
    assert "| mmpose | 5 | 8 | 3.0 | 4 | 2 |" in lines
    assert "| dfmamba, images only | 300 | 310 |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {10, 7, 4}  # heads, rules and rows agree
    json.dumps(result)
