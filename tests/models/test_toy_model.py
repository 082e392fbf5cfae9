"""A backbone, or a head, of one's own is a file and a line in a config: the toys train and are scored."""

import json
from pathlib import Path

import pytest

import tool_process

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "examples"


@pytest.mark.parametrize("name", ["backbone", "head"])
def test_the_page_shows_the_files(name):
    code = (EXAMPLES / "toy_model" / f"{name}.py").read_text().partition('"""\n\n')[2]
    assert code
    assert f"```python\n{code}```" in (ROOT / "docs" / "extending.md").read_text()


@pytest.mark.slow
def test_they_train_and_are_scored(synthetic_set, tmp_path):
    options = [
        "--cfg-options",
        f"data_root={synthetic_set('interhand26m')}",
        "train_cfg.max_epochs=1",
        "train_dataloader.batch_size=2",
    ]
    config, work = EXAMPLES / "toy_model" / "config.py", tmp_path / "work"
    for tool, *arguments in (("train", config), ("test", config, work / "epoch_1.pth")):
        script = ROOT / "tools" / f"{tool}.py"
        done = tool_process.run(script, *arguments, "--work-dir", work, *options, imports=[EXAMPLES])
        assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((work / "result.json").read_text())
    assert result["data"]["num_samples"] == 3
    assert 0 < result["metrics"]["interhand/MPJPE_rr_macro_all_mm"] < 1000
