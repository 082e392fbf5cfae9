"""The parsers work where mmpose is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("hidden", [["mmpose"], ["mmpose", "mmcv", "mmdet", "torchvision", "timm", "xtcocotools"]])
def test_parsers_do_without_mmpose(hidden):
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden}))\nimport dfmamba.datasets"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "projects", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
