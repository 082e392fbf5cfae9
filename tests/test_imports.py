"""What the package says it needs is all it needs: everything else that is installed here is hidden."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def import_hiding(modules, hidden):
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden)}))\nimport {', '.join(modules)}"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT / "projects", capture_output=True, text=True,
                          check=False)


def test_protocols_and_result_files_need_numpy_alone():
    others = {name for name in packages_distributions() if name.isidentifier()} - {"numpy", "dfmamba", "_cffi_backend"}
    done = import_hiding(["dfmamba.evaluation", "dfmamba.evaluation.result_files"], others)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hidden", [{"mmpose"}, {"mmpose", "mmcv", "mmdet", "torchvision", "timm", "xtcocotools"}])
def test_parsers_do_without_mmpose(hidden):
    done = import_hiding(["dfmamba.datasets"], hidden)
    assert done.returncode == 0, done.stderr
