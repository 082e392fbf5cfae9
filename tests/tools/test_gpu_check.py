"""tools/gpu_check.sh with stand-ins for the programs that need a GPU: what fails, what is skipped, what is said."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "gpu_check.sh"


@pytest.fixture
def check(tmp_path):
    """Run steps; `programs` maps names to shell scripts. Return the process and the arguments of every program."""

    def run(*steps, **programs):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in {"python3": "exit 0", **programs}.items():
            path = folder / name.replace("_", "-")
            path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
            path.chmod(0o755)
        environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "OUT": str(tmp_path / "out")}
        done = subprocess.run([SCRIPT, *steps], env=environment, capture_output=True, text=True, check=False)
        return done, (tmp_path / "calls").read_text().splitlines()

    return run


def summary(done):
    return done.stdout.strip().splitlines()[-1]


def test_an_unknown_step_is_named(check):
    done, _ = check("tets")
    assert done.returncode == 2
    assert "expected build, tests, triton, sanitizer, benchmark or models, got 'tets'" in done.stderr


def test_a_step_that_fails_makes_the_check_fail(check):
    done, _ = check("tests", python3="echo 3 failed; exit 1")
    assert done.returncode == 1
    assert summary(done).startswith("tests      exit   1")
    assert summary(done).endswith("3 failed")


def test_the_tests_do_not_build_again(check):
    _, calls = check("tests")
    (pytest_call,) = (call for call in calls if "-m pytest" in call)
    for name in ("test_build", "test_cuda_build", "test_cuda_emulation"):
        assert f"--ignore=tests/ops/{name}.py" in pytest_call


def test_a_sanitizer_that_the_machine_does_not_support_is_skipped(check):
    script = 'echo "========= Error: device not supported"; exit 1'
    done, calls = check("sanitizer", compute_sanitizer=script)
    assert done.returncode == 0
    assert "skipped: compute-sanitizer is not supported in this container" in summary(done)
    assert sum(call.startswith("compute_sanitizer") for call in calls) == 1


def test_without_a_gpu_the_sanitizer_is_not_skipped(check):
    done, _ = check("sanitizer", python3="exit 1", compute_sanitizer="exit 1")
    assert done.returncode == 1
    assert "skipped" not in done.stdout


def test_what_the_sanitizer_finds_makes_the_check_fail(check):
    done, calls = check("sanitizer", compute_sanitizer='case "$*" in *racecheck*) exit 9 ;; esac')
    assert done.returncode == 1
    runs = [call for call in calls if "kernel_substring=dfmamba" in call]
    tools = ("memcheck", "racecheck", "synccheck", "initcheck")
    assert [f"--tool {tool} " in run for tool, run in zip(tools, runs, strict=True)] == [True] * 4
    assert all("--report-api-errors no" in run for run in runs)


def test_models_are_those_of_the_docs(check):
    _, calls = check("models")
    backbones, whole = (call for call in calls if "tools/benchmark.py" in call)
    assert backbones.count(":backbone") == 7
    assert ":backbone" not in whole
    for call in (backbones, whole):
        assert "--device cuda" in call
        paths = [word.split(":")[0] for word in call.split() if word.startswith("configs/")]
        assert len(paths) == 7
        assert all((SCRIPT.parents[1] / path).exists() for path in paths)
