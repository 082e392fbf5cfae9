"""The benchmark of reading measures what its rows are called, for both readers."""

import pytest

pytest.importorskip("mmpose")
pytest.importorskip("psutil")

import benchmark_data
from dfmamba.benchmark.data_timing import measure_opening, measure_pipelines, measure_workers
from dfmamba.benchmark.processes import in_new_process
from dfmamba.synthesis.interhand26m import write_interhand26m
from dfmamba.synthesis.interhand26m_records import write_interhand26m_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_interhand26m_records(folder, 160)
    return folder


@pytest.mark.parametrize("reader", ["dfmamba", "mmpose"])
def test_opening(records, tmp_path, reader):
    row = measure_opening(reader, records, tmp_path / "cache", 50)
    assert row["reader"] == reader
    assert row["records"] > 150  # mmpose drops those whose joints all project to negative coordinates
    assert row["seconds"] > 0
    assert row["samples_per_s"] > 0


@pytest.mark.parametrize("reader", ["no data", "dfmamba"])
def test_workers(records, tmp_path, reader):
    row = measure_workers(reader, records, tmp_path / "cache", 2, 20, 160)
    assert (row["records"], row["workers"]) == (160, 2)
    assert row["all_pss_mb"] > row["worker_uss_mb"] > 0


def test_pipelines(tmp_path):
    write_interhand26m(tmp_path / "data", {"train": 2}, seed=0)
    rows = in_new_process(measure_pipelines, benchmark_data.CONFIGS, tmp_path / "data", tmp_path / "cache", 1)
    assert [row["pipeline"] for row in rows] == [
        f"{reader}, {what}" for reader in ("dfmamba", "mmpose") for what in ("with its targets", "images only")
    ]
    assert all(row["samples_per_s"] > 0 and row["samples_per_cpu_s"] > 0 for row in rows)
