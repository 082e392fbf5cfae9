"""tools/run_demo.py: what it knows of the demos is what their configs say."""

from pathlib import Path

import pytest

import run_demo
from dfmamba.engine.config import load_config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("layout", run_demo.DEMOS)
def test_config_and_tool_agree(layout):
    demo = run_demo.DEMOS[layout]
    path = ROOT / "configs" / "demo" / f"{demo.config}.py"
    words = " ".join(path.read_text().split())
    assert (
        f"tools/make_dataset.py {layout} --train {demo.train} --{demo.test_split} {demo.test} "
        f"--view-spread {run_demo.VIEW_SPREAD}"
    ) in words
    config = load_config(path)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert config[loader].dataset.data_root == f"data/synthetic_{layout}"
    assert config.test_dataloader.dataset.split == demo.test_split


@pytest.mark.parametrize("layout", run_demo.DEMOS)
def test_documentation_names_every_demo(layout):
    demo = run_demo.DEMOS[layout]
    rows = [line for line in (ROOT / "docs" / "demos.md").read_text().splitlines() if demo.config in line]
    assert len(rows) == 1
    assert f"| {demo.train} / {demo.test} |" in rows[0]
