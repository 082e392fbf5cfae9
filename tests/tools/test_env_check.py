"""tools/env_check.py names what is missing, and what to do about it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import env_check

ROOT = Path(__file__).resolve().parents[2]


def rows(monkeypatch, installed, missing=()):
    """Return the rows of an environment with these distributions, where these modules cannot be imported."""

    def import_module(name):
        if name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "mmpose" and "mmcv" in missing:
            raise ModuleNotFoundError("No module named 'mmcv'", name="mmcv")

    monkeypatch.setattr(env_check, "import_module", import_module)
    monkeypatch.setattr(env_check, "installed_version", installed.get)
    return {name: (state, text) for name, state, text in env_check.check_packages()}


GOOD = {providers[0]: "1.0" for providers in env_check.NEEDED.values()}


def test_all_is_well(monkeypatch):
    assert {state for state, _ in rows(monkeypatch, GOOD).values()} == {"ok"}


def test_a_missing_mmcv_is_called_missing(monkeypatch):
    without = {name: version for name, version in GOOD.items() if name != "onedl-mmcv"}
    found = rows(monkeypatch, without, missing=["mmcv"])
    state, text = found["mmcv"]
    assert state == "FAIL"
    assert text.startswith("not installed: MMCV_WITH_OPS=1 pip install ")
    assert found["mmpose"] == ("FAIL", "needs mmcv, which is missing, see there")
    assert {name for name, (state, _) in found.items() if state == "FAIL"} == {"mmcv", "mmpose"}


def test_a_fork_and_its_original_are_told_with_the_way_out(monkeypatch):
    state, text = rows(monkeypatch, {**GOOD, "mmcv": "2.1.0"})["mmcv"]
    assert state == "note"
    assert text.startswith(
        "onedl-mmcv 1.0, mmcv 2.1.0: they overwrite each other's files. "
        "pip uninstall -y onedl-mmcv mmcv, then: MMCV_WITH_OPS=1 pip install "
    )


def test_files_that_went_with_the_original_are_told(monkeypatch):
    """Uninstalling mmcv takes the folder mmcv/ along, which onedl-mmcv wrote, too."""
    state, text = rows(monkeypatch, GOOD, missing=["mmcv"])["mmcv"]
    assert state == "FAIL"
    assert text.startswith("pip lists onedl-mmcv 1.0, but its files are not there")
    assert "pip uninstall -y onedl-mmcv, then: " in text


def test_mmcv_without_operators_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmcv._ext", None)
    for name in [name for name in sys.modules if name.startswith("mmcv.ops")]:
        monkeypatch.delitem(sys.modules, name)
    name, state, text = env_check.check_mmcv_ops()
    assert (name, state) == ("mmcv operators", "FAIL")
    assert text.startswith("mmcv is there without its compiled operators")


@pytest.mark.parametrize(
    ("version", "state"), [((3, 9, 1), "note"), ((3, 10, 0), "ok"), ((3, 12, 9), "ok"), ((3, 13, 0), "note")]
)
def test_python_is_one_that_the_versions_are_pinned_for(monkeypatch, version, state):
    monkeypatch.setattr(sys, "version_info", version)
    assert env_check.check_python()[1] == state


@pytest.mark.parametrize("name", env_check.NEEDED)
def test_advice_names_files_that_pin_the_package(name):
    """The distribution that we pin is in the requirements file that the advice names."""
    named = re.findall(r"-r (\S+)", env_check.INSTALL[name])
    pinned = [re.split(r"[=;\s]", line)[0] for file in named for line in (ROOT / file).read_text().splitlines()]
    assert name == "dfmamba" or env_check.NEEDED[name][0] in pinned


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r} or name.startswith({0!r} + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "config"),
    [
        ("mmcv", "dfmamba_rhp"),
        ("mmcv._ext", "dfmamba_rhp"),
        ("mmdet", "dfmamba_rhp"),
        ("torch", "dfmamba_rhp"),
        ("mmdet", "mixing/dfmamba_retinanet_hands"),
    ],
)
def test_a_tool_names_the_package_that_is_missing(tmp_path, missing, config):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(missing))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT / "projects")]))
    command = [sys.executable, "tools/train.py", f"configs/{config}.py", "--work-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    message = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert message.startswith("tools/train.py: ")
    assert missing in message
    assert "make setup" in message
    assert "PYTHONPATH" not in message


@pytest.mark.slow
def test_this_environment_is_complete():
    done = subprocess.run([sys.executable, "tools/env_check.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(re.match(r"mmcv operators +ok ", line) for line in lines)
    assert any(re.match(r"save and resume +ok ", line) for line in lines)
    assert "FAIL" not in done.stdout
