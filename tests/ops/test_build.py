"""Installing: with a compiler, without one, and where the operators are not wanted."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_build(folder, **environment):
    """Build a wheel from a copy of the sources; return the finished process."""
    sources = folder / "sources"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "projects", sources / "projects", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    return subprocess.run(
        command, cwd=sources, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def build_wheel(folder, **environment):
    """Build a wheel; return the names of its files and what the build said."""
    done = run_build(folder, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist(), done.stdout + done.stderr


@pytest.fixture
def other_toolkit(tmp_path):
    """A CUDA toolkit that torch was not made with: what a machine with an older one has."""
    root = tmp_path / "cuda"
    for name in ("bin", "lib64"):
        (root / name).mkdir(parents=True)
    (root / "lib64" / "libcudart.so").touch()
    nvcc = root / "bin" / "nvcc"
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 9.1, V9.1.85'\n")
    nvcc.chmod(0o755)
    return {"CUDA_HOME": str(root)}


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
def test_a_failed_cuda_build_leaves_the_cpu_operators(tmp_path, other_toolkit):
    pretended = tmp_path / "pretended"
    pretended.mkdir()
    (pretended / "sitecustomize.py").write_text("import torch\ntorch.cuda.is_available = lambda: True\n")
    files, said = build_wheel(tmp_path, MAX_JOBS="2", PYTHONPATH=str(pretended), **other_toolkit)
    assert said.count("CUDA operators not built: ") == 1
    assert "native operators not built" not in said
    (extension,) = [name for name in files if name.endswith(".so")]
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extract(extension, tmp_path)
    code = "import sys, torch; torch.ops.load_library(sys.argv[1]); print(torch.ops.dfmamba.cpu_capability())"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / extension)], capture_output=True, text=True)
    assert done.stdout.strip() in ("portable", "avx2", "avx512"), done.stderr


@pytest.mark.slow
def test_a_failed_cuda_build_is_an_error_where_it_is_asked_for(tmp_path, other_toolkit):
    done = run_build(tmp_path, FORCE_CUDA="1", **other_toolkit)
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.whl"))
    assert "9.1" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DFMAMBA_WITHOUT_EXT": "1"}, "expected one of them at the most"),
        ({"PYTHONPATH": "NO_TORCH"}, "torch is not there while building"),
    ],
    ids=["not wanted", "no torch"],
)
def test_cuda_that_is_asked_for_and_cannot_be_is_an_error(tmp_path, environment, message):
    (tmp_path / "torch.py").write_text("raise ImportError")
    environment = {name: str(tmp_path) if value == "NO_TORCH" else value for name, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "setup.py", "--name"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "FORCE_CUDA": "1", **environment},
    )
    assert done.returncode != 0
    assert message in done.stderr
