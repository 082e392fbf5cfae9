"""tools/benchmark_data.py: its report."""

import json

import pytest

pytest.importorskip("mmpose")
pytest.importorskip("psutil")

import benchmark_data


def test_report():
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
        "travel": [{"collate": "pseudo_collate", "ms_per_batch": 100.04, "receiving_cpu_ms_per_batch": 50.0}],
    }
    lines = benchmark_data.report(result).splitlines()
    assert "| dfmamba | 1,234 | later | 0.012 | 0.500 | 1.3 | 7 | 8.9 | 1000 |" in lines
    assert "| mmpose | 5 | 8 | 3.0 | 4 | 2 |" in lines
    assert "| dfmamba, images only | 300 | 310 |" in lines
    assert "| pseudo_collate | 100.0 | 50.0 |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {10, 7, 4}  # heads, rules and rows agree
    json.dumps(result)
