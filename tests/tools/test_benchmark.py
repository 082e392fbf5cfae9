"""tools/benchmark.py measures what its table says, for every kind of model, and says what does not run."""

import csv
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from dfmamba.benchmark.model_timing import Setting, prepare
from dfmamba.cli import benchmark
from dfmamba.models.backbones import DFMamba
from dfmamba.models.layers.fused_linear import FusedLinear

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool; return the rows of its CSV file."""

    def call(*arguments):
        monkeypatch.setattr(
            "sys.argv", ["benchmark", *arguments, "--threads", "1", "--rounds", "2", "--out", str(tmp_path)]
        )
        benchmark.main()
        with (tmp_path / "benchmark.csv").open() as file:
            return list(csv.DictReader(file))

    return call


def test_table_csv_and_plot(run, tmp_path, capfd):
    rows = run(
        "--models",
        "dfmamba_nano",
        "vmamba_nano",
        "--size",
        "64",
        "--batch",
        "1",
        "2",
        "--dtypes",
        "float32",
        "bfloat16",
        "--runtimes",
        "eager",
        "folded",
        "graph",
        "--no-memory",
    )
    keys = [(row["model"], row["batch"], row["dtype"], row["runtime"]) for row in rows]
    assert len(keys) == len(set(keys)) == 2 * 2 * 2 * 2  # all but the graphs
    printed, told = capfd.readouterr()
    assert told.count("a CUDA graph needs a GPU") == 2 * 2 * 2
    assert {row["parameters_m"] for row in rows if row["model"] == "dfmamba_nano"} == {
        str(sum(parameter.numel() for parameter in DFMamba("nano").parameters()) / 1e6)
    }
    reference = {
        row["batch"]: float(row["median_ms"])
        for row in rows
        if (row["model"], row["dtype"], row["runtime"]) == ("dfmamba_nano", "float32", "eager")
    }
    for row in rows:
        low, median, high = (float(row[f"{which}_ms"]) for which in ("low", "median", "high"))
        assert 0 < low <= median <= high
        assert float(row["images_per_s"]) == pytest.approx(1000 / median)
        assert float(row["speed"]) == pytest.approx(reference[row["batch"]] / median)
    table = (tmp_path / "benchmark.md").read_text()
    for name in ("dfmamba_nano", "vmamba_nano"):
        lines = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
        assert len(lines) == 2  # batch sizes
        assert all(line.count(" x |") == 4 for line in lines)
    assert "Memory" not in table
    assert table.splitlines()[0] in printed
    with Image.open(tmp_path / "benchmark.png") as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize("runtime", ["eager", "folded", "compiled", "folded_compiled"])
def test_each_runtime_is_what_its_name_says(runtime, monkeypatch):
    seen = {}

    def compile_nothing(model, **options):
        seen["compiled"] = model
        return model

    monkeypatch.setattr(torch, "compile", compile_nothing)
    images = torch.randn(1, 3, 64, 64)
    model = DFMamba("nano").eval()
    runs = prepare(model, Setting(runtime, "float32", 1, 1), images)
    layers = [module for module in runs.modules() if isinstance(module, FusedLinear)]
    assert bool(layers) == runtime.startswith("folded")
    assert ("compiled" in seen) == runtime.endswith("compiled")
    assert runtime != "folded_compiled" or not any(layer.is_packed for layer in layers)
    with torch.no_grad():
        for got, want in zip(runs(images), model(images), strict=True):
            assert torch.allclose(got, want, atol=1e-4)


def test_memory_holds_weights_and_maps_and_grows_with_the_batch(run, tmp_path):
    rows = run("--models", "resnet18", "--size", "128", "--batch", "1", "16", "--runtimes", "eager")
    assert "Memory" in (tmp_path / "benchmark.md").read_text()
    one, many = (float(row["memory_mb"]) for row in rows)
    weights_mb = float(rows[0]["parameters_m"]) * 1e6 * 4 / 2**20
    widest_map_mb = 64 * 64 * 64 * 4 / 2**20  # of the stem, one image
    assert weights_mb < one < many
    assert many - one > 15 * widest_map_mb


def test_a_whole_model_its_backbone_and_a_model_of_timm(run, tmp_path, capfd):
    pytest.importorskip("mmpose")
    config = ROOT / "configs" / "demo" / "dfmamba_interhand_demo.py"
    rows = run(
        "--models",
        str(config),
        f"{config}:backbone",
        "timm:resnet10t",
        "--size",
        "96",
        "--batch",
        "1",
        "--runtimes",
        "eager",
        "folded",
        "--no-memory",
    )
    assert capfd.readouterr().out == (tmp_path / "benchmark.md").read_text()  # nothing that a library prints
    whole, _, backbone, *others = rows
    assert [row["model"] for row in others] == [backbone["model"], "timm:resnet10t", "timm:resnet10t"]
    assert (whole["model"], backbone["model"]) == ("dfmamba_interhand_demo", "dfmamba_interhand_demo backbone")
    assert float(backbone["parameters_m"]) * 1e6 == sum(p.numel() for p in DFMamba("nano", out_norm=False).parameters())
    assert float(backbone["parameters_m"]) < float(whole["parameters_m"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dfmamba_huge", "expected one of resnet18, .*got 'dfmamba_huge'"),
        ("timm:nobody", "nobody"),
        ("configs/absent.py", "absent.py"),
    ],
)
def test_a_model_that_is_not_there_gets_one_line(run, name, message, capfd):
    pytest.importorskip("mmpose")
    with pytest.raises(SystemExit) as stop:
        run("--models", name)
    assert stop.value.code == 2
    assert re.fullmatch(f"tools/benchmark.py: .*{message}.*\n", capfd.readouterr().err)
