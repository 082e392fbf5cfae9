"""`tools/soak.py` as a user calls it, for its shortest time."""

import re
from pathlib import Path

import pytest

import tool_process

ROOT = Path(__file__).resolve().parents[2]


def soak(*arguments):
    return tool_process.run(ROOT / "tools" / "soak.py", *arguments)


@pytest.mark.slow
def test_a_training_under_faults_equals_the_undisturbed_one(tmp_path):
    done = soak("--minutes", "0.001", "--seed", "3", "--work-dir", tmp_path / "soak")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SYNTHETIC data; an undisturbed training takes" in done.stdout
    assert re.search(r"run0: .*: exit codes .*: equal", done.stdout)
    assert "1 of 1 trainings equal the undisturbed one" in done.stdout


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = soak("--work-dir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("tools/soak.py: --work-dir")
    assert (tmp_path / "mine").read_text() == "mine"
