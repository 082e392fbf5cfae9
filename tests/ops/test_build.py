"""Installing: with a compiler, without one, and where the operators are not wanted."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build_wheel(folder, **environment):
    """Build a wheel from a copy of the sources; return the names of its files and what the build said."""
    sources = folder / "sources"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "projects", sources / "projects", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    done = subprocess.run(
        command, cwd=sources, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist(), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({"DFMAMBA_WITHOUT_EXT": "1"}, None),
        ({"CC": "/bin/false", "CXX": "/bin/false"}, "native operators not built"),
    ],
    ids=["not wanted", "no compiler"],
)
def test_installs_without_a_compiler(tmp_path, environment, warning):
    files, said = build_wheel(tmp_path, **environment)
    assert "dfmamba/ops/dssm.py" in files
    assert not [name for name in files if name.endswith(".so")]
    assert (warning or "") in said


@pytest.mark.slow
def test_a_wheel_holds_the_operators(tmp_path):
    files, said = build_wheel(tmp_path, MAX_JOBS="2")
    assert [name for name in files if name.startswith("dfmamba/_C")], said
