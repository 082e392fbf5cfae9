import json

import numpy as np
import pytest

from dfmamba.engine.checkpoint_folder import describe_checkpoints
from dfmamba.engine.report import (
    data_fingerprint,
    is_synthetic,
    write_result,
)
from dfmamba.io.digests import file_digest
from dfmamba.synthesis.output import NOTE


class DataSet:
    metainfo: dict = {}  # noqa: RUF012

    def __init__(self, ann_file: str):
        self.ann_file = ann_file

    def __len__(self) -> int:
        return 5


def test_the_result_file_says_what_was_measured_on_what(tmp_path):
    annotations, checkpoint = tmp_path / "a.json", tmp_path / "c.pth"
    annotations.write_text("abc")
    checkpoint.write_text("")
    metrics = {"x/error_mm": np.float64(1.5), "x/none_mm": float("nan"), "x/count": 3}
    write_result(tmp_path / "new" / "r.json", metrics, "c.py", str(checkpoint), DataSet(str(annotations)), ["a=1"])
    result = json.loads((tmp_path / "new" / "r.json").read_text())
    assert result["metrics"] == {"x/error_mm": 1.5, "x/none_mm": None, "x/count": 3}
    # The published SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    assert result["data"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert result["data"]["num_samples"] == 5
    assert result["cfg_options"] == ["a=1"]


def test_a_data_set_that_describes_itself_is_believed(tmp_path):
    dataset = DataSet("")
    dataset.metainfo = {"data_source": {"digest": "1234", "num_samples": 5}}
    assert data_fingerprint(dataset) == {"dataset": "DataSet", "num_samples": 5, "synthetic": False, "digest": "1234"}


def test_synthetic_data_is_called_so(tmp_path):
    dataset = DataSet("")
    dataset.data_root = str(tmp_path)
    assert not is_synthetic(dataset)
    (tmp_path / NOTE).touch()
    assert data_fingerprint(dataset)["synthetic"]


def test_checkpoints_are_described(tmp_path):
    assert "no checkpoint in" in describe_checkpoints(tmp_path)
    (tmp_path / "best_x.pth").touch()
    (tmp_path / "last_checkpoint").write_text("/w/epoch_2.pth")
    assert describe_checkpoints(tmp_path) == f"best checkpoint: {tmp_path}/best_x.pth\nlast checkpoint: /w/epoch_2.pth"


def test_the_digest_of_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")
