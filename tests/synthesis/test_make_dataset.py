import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "make_dataset.py"


def run(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_writes_says_what_and_does_nothing_twice(tmp_path):
    command = ("interhand26m", "--out", tmp_path / "set", "--num", 10, "--seed", 3, "--workers", 1)
    first = run(*command)
    assert first.returncode == 0, first.stderr
    assert "train: 2 right, 2 left, 4 interacting" in first.stdout
    assert "test: 1 right, 0 left, 1 interacting" in first.stdout
    assert "Wrote 10 synthetic images" in first.stdout
    assert "images a second" in first.stdout
    second = run(*command)
    assert second.returncode == 0
    assert "there already" in second.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("interhand26m", "--out", "x"),
        ("interhand26m", "--out", "x", "--num", "4", "--test", "2"),
    ],
)
def test_needs_one_kind_of_count(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert "--num N" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "annotation"), [("nyu", "test/joint_data.mat"), ("rhp", "evaluation/anno_evaluation.pickle")]
)
def test_a_layout_is_written(tmp_path, layout, annotation):
    result = run(layout, "--out", tmp_path, "--test", 1, "--seed", 3, "--workers", 1)
    assert result.returncode == 0, result.stderr
    assert "Wrote 1 synthetic image to" in result.stdout
    assert (tmp_path / annotation).is_file()


def test_a_foreign_folder_gets_one_clear_line(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    result = run("interhand26m", "--out", tmp_path, "--test", 1)
    assert result.returncode == 2
    assert "--overwrite" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("rhp", "--out", "x", "--val", 3),
            "--val: RHD v1.1 (Rendered Hand Pose) has no such split, only train and test",
        ),
        (("rhp", "--out", "x", "--num", "1_000"), "--num: expected a whole number, 1 or more, got '1_000'"),
        (("rhp", "--out", "x", "--num", "0"), "--num: expected a whole number, 1 or more, got '0'"),
        (
            ("nyu", "--out", "x", "--test", "1", "--view-spread", "nan"),
            "--view-spread: expected a finite number from 0 to 180, got 'nan'",
        ),
        (
            ("nyu", "--out", "x", "--test", "1", "--view-spread=-inf"),
            "expected a finite number from 0 to 180, got '-inf'",
        ),
        (
            ("nyu", "--out", "x", "--test", "1", "--workers", "0"),
            "--workers: expected a whole number, 1 or more, got '0'",
        ),
        (("dexycb", "--out", "x", "--test", "1"), "expected multiples of 8"),
        (("rhp", "--out", "/dev/null", "--test", "1"), "out: expected a folder, /dev/null is a file"),
        (("rhp", "--out", "/dev/null/x", "--test", "1"), "/dev/null/x"),
    ],
)
def test_a_users_mistake_is_one_message(tmp_path, arguments, message):
    result = subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
