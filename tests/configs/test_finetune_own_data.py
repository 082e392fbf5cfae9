"""The config for one's own data: it begins with the weights of the model in the box, from anywhere, and learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from config_cases import CONFIGS, ROOT, batch_of
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import tool_process
from dfmamba.apis.packed_model import IN_THE_BOX, WEIGHTS
from dfmamba.engine.config import load_config
from dfmamba.engine.weights import load_weights

CONFIG = CONFIGS / "own" / "finetune_nano.py"


def test_it_begins_with_the_model_in_the_box_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(CONFIG)
    assert Path(cfg.load_from).samefile(IN_THE_BOX / WEIGHTS)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    load_weights(model, torch.load(cfg.load_from, weights_only=True), cfg.load_from, whole=True)


def test_a_config_that_inherits_it_does_so_too(tmp_path):
    (tmp_path / "mine.py").write_text(f"_base_ = [{str(CONFIG)!r}]\ntrain_cfg = dict(max_epochs=3)\n")
    assert Path(load_config(tmp_path / "mine.py").load_from).samefile(IN_THE_BOX / WEIGHTS)


@pytest.mark.slow
@pytest.mark.parametrize("known", ["space", "image"])
def test_a_few_steps_reduce_the_loss_of_what_is_known(known, synthetic_set):
    """Of hands in the image, depths change nothing: their loss is 0, and so is its gradient."""
    cfg = load_config(CONFIG)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, transforms draw from it
    model = MODELS.build(cfg.model)
    load_weights(model, torch.load(cfg.load_from, weights_only=True), cfg.load_from, whole=True)
    _, batch = batch_of(cfg, "train_dataloader", synthetic_set, model)
    if known == "image":
        for sample in batch["data_samples"]:
            sample.gt_instance_labels.depth_weights = torch.zeros_like(sample.gt_instance_labels.depth_weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history = []
    for _ in range(8):
        losses = model.train()(**batch, mode="loss")
        total = losses["loss_anchor"] + losses["loss_regression"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
        assert (losses["error_z_mm"] > 0) == (known == "space")
    assert history[-1] < 0.8 * history[0]


def call(folder, tool, *arguments):
    done = tool_process.run(ROOT / "tools" / f"{tool}.py", *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_walk_of_the_document(synthetic_set, tmp_path):
    """Check, browse, train, test, predict, score: the commands of docs/own_data.md in another folder."""
    root = synthetic_set("own_data")
    data = ["--cfg-options", f"data_root={root}"]
    assert "Nothing is wrong" in call(tmp_path, "check_data", CONFIG, *data)
    call(tmp_path, "browse_dataset", CONFIG, "--split", "train", "--num", 2, "--out", "sheet.jpg", *data)
    short = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1", "default_hooks.checkpoint.interval=1"]
    call(tmp_path, "train", CONFIG, "--work-dir", "work", *data, *short)
    files = ["test_evaluator.result_file=pred.json"]
    table = call(tmp_path, "test", CONFIG, "work/epoch_1.pth", "--work-dir", "work", "--out", "r.json", *data, *files)
    assert "Own data, root-relative, mm" in table
    assert "PCK 0.2" in table
    metrics = json.loads((tmp_path / "r.json").read_text())["metrics"]
    scored = call(tmp_path, "score", "own_data", "--pred", "pred.json", "--gt", root / "test.json", "--out", "scores")
    assert "Own data, root-relative, mm" in scored
    again = json.loads((tmp_path / "scores" / "scores.json").read_text())["results"]["pred"]["metrics"]
    for name in ("MPJPE_rr_macro_mm", "depth_error_rr_macro_mm", "EPE_micro_px", "PCK_macro_02_box"):
        assert again[name] == pytest.approx(metrics[f"own_data/{name}"], rel=1e-3)
    picture = root / json.loads((root / "test.json").read_text())["images"][0]["file"]
    model = ["--config", CONFIG, "--checkpoint", "work/epoch_1.pth", "--min-presence", 0]
    call(tmp_path, "predict", picture, *model, "--out", "predictions")
    found = json.loads(next((tmp_path / "predictions").glob("*.json")).read_text())
    assert [len(hand["keypoints_px"]) for hand in found["detections"][0]["hands"]] == [21, 21]
