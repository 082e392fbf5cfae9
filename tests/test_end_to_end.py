"""The main job from data to table, through the tools, as a user runs it."""

import json
from pathlib import Path

import pytest

import tool_process

ROOT = Path(__file__).resolve().parents[1]
REAL_SAMPLES = ROOT.parent / "shared" / "data" / "interhand26m"
DEMO = "configs/demo/dfmamba_interhand_demo.py"
pytestmark = pytest.mark.slow


def call(tool, *arguments):
    done = tool_process.run(f"tools/{tool}.py", *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics_of(result_file):
    return json.loads(result_file.read_text())["metrics"]


def test_synthetic_data_to_table(tmp_path):
    call("make_dataset", "interhand26m", "--out", tmp_path / "data", "--train", 24, "--test", 16, "--seed", 3)
    sets = [f"{loader}_dataloader.dataset.data_root={tmp_path / 'data'}" for loader in ("train", "val", "test")]
    options = [*sets, "train_cfg.max_epochs=2", "train_cfg.val_interval=2", "train_dataloader.batch_size=8"]
    call("train", DEMO, "--work-dir", tmp_path / "work", "--cfg-options", *options)
    output = call(
        "test",
        DEMO,
        tmp_path / "work" / "epoch_2.pth",
        "--work-dir",
        tmp_path / "work",
        "--out",
        tmp_path / "result.json",
        "--cfg-options",
        *options,
    )
    metrics = metrics_of(tmp_path / "result.json")
    assert metrics["interhand/samples_all"] == 16
    assert f"{metrics['interhand/MPJPE_rr_macro_all_mm']:.2f}" in output
    assert (tmp_path / "work" / "contact_sheet.png").is_file()
    assert (tmp_path / "work" / "loss_curve.png").is_file()


@pytest.mark.skipif(not REAL_SAMPLES.is_dir(), reason="the four real samples of InterHand2.6M are not here")
def test_real_samples_are_learnt(tmp_path):
    config = "configs/demo/dfmamba_interhand_samples.py"
    data = ["--cfg-options", f"data_root={REAL_SAMPLES}"]
    call("train", config, "--work-dir", tmp_path, *data)
    call("test", config, tmp_path / "epoch_6.pth", "--work-dir", tmp_path, "--out", tmp_path / "result.json", *data)
    metrics = metrics_of(tmp_path / "result.json")
    assert metrics["interhand/samples_all"] == 4
    assert metrics["interhand/MPJPE_rr_macro_all_mm"] < 5
