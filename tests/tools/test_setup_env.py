"""The set-up's one-line messages; it stops before it installs anything."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "setup_env.py"


def test_a_compiler_that_does_not_work_is_named(tmp_path):
    command = [sys.executable, str(SCRIPT), "--venv", str(tmp_path / "venv")]
    done = subprocess.run(command, env=dict(os.environ, CXX="/bin/false"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "'/bin/false' cannot compile" in done.stderr
    assert "apt-get install g++" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("version", [(3, 9, 0), (3, 13, 1)])
def test_an_unfit_python_is_named(monkeypatch, version):
    check_python = runpy.run_path(str(SCRIPT))["check_python"]
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"Python 3\.10 to 3\.12 is needed.*PYTHON=python3\.11"):
        check_python()
