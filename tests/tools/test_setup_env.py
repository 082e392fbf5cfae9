"""The set-up's one-line messages; it stops before it installs anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import setup_env

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
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"Python 3\.10 to 3\.12 is needed.*PYTHON=python3\.11"):
        setup_env.check_python()


def test_mmcv_is_built_without_symbols_for_the_cpu_and_one_compiler_a_core():
    made = setup_env.build_variables({"PATH": "/bin", "MMCV_WITH_OPS": "0"})
    assert made["CFLAGS"].split()[-1] == made["CXXFLAGS"].split()[-1] == "-g0"
    assert made["MAX_JOBS"] == str(len(os.sched_getaffinity(0)))
    assert made["CUDA_VISIBLE_DEVICES"] == ""
    assert made["MMCV_WITH_OPS"] == "1"
    assert made["PATH"] == "/bin"


def test_what_the_user_has_set_stays():
    theirs = {"CFLAGS": "-O2", "CXXFLAGS": "", "MAX_JOBS": "7", "FORCE_CUDA": "1", "CUDA_VISIBLE_DEVICES": "3"}
    assert setup_env.build_variables(theirs) == {**theirs, "MMCV_WITH_OPS": "1"}


def test_the_compiler_gets_the_flags_in_place_of_the_interpreters(tmp_path, monkeypatch):
    """torch's build takes them from distutils: the last -O and the last -g of its command are those that count."""
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.sysconfig import customize_compiler

    for name, value in setup_env.build_variables({}).items():
        monkeypatch.setenv(name, value)
    compiler = new_compiler()
    customize_compiler(compiler)
    flags = [word for word in compiler.compiler_so if word.startswith(("-O", "-g"))]
    assert [word for word in flags if word.startswith("-O")][-1] == "-O1"
    assert [word for word in flags if word.startswith("-g")][-1] == "-g0"


@pytest.mark.parametrize(("environment", "fresh"), [({}, False), ({"FORCE_CUDA": "1"}, True)])
def test_only_the_packages_of_openmmlab_get_them(monkeypatch, tmp_path, environment, fresh):
    """Our own extension has flags of its own, and is built with the user's variables alone."""
    calls = []
    monkeypatch.setattr(subprocess, "call", lambda command, env, **_: calls.append((command, env)) or 0)
    monkeypatch.delenv("CFLAGS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    setup_env.install(str(tmp_path / "venv"), str(tmp_path / "log"))
    quick = [command for command, env in calls if "CFLAGS" in env]
    assert len(quick) == 1
    assert "requirements/mmlab.txt" in quick[0]
    assert ("--no-cache-dir" in quick[0]) is fresh
    assert calls[-1][0][-2:] == ["-e", "."]


def test_the_makefile_stays_with_the_python_that_was_named_once(tmp_path):
    """Else `make setup PYTHON=python3.12` and then `make test` would install everything again for python3."""

    def command(*words):
        done = subprocess.run(
            ["make", "-n", "-f", str(SCRIPT.parents[1] / "Makefile"), "setup", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert command() == "python3 tools/setup_env.py"
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "dfmamba-python").write_text("/usr/bin/python3.12")
    assert command() == "/usr/bin/python3.12 tools/setup_env.py"
    assert command("PYTHON=python3.10") == "python3.10 tools/setup_env.py"


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """Let `setup_env.main` set up a folder .venv, where nothing is installed; return the folders that it would fill."""
    installed = []

    def install(venv_dir, log_path):
        Path(venv_dir).mkdir(exist_ok=True)
        installed.append(venv_dir)

    monkeypatch.setattr(setup_env, "install", install)
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "--venv", str(tmp_path / ".venv")])
    return installed


def test_it_installs_once_and_notes_its_python(set_up, tmp_path):
    setup_env.main()
    setup_env.main()
    assert set_up == [str(tmp_path / ".venv")]
    assert (tmp_path / ".venv" / "dfmamba-python").read_text() == sys.executable


def test_an_environment_does_not_renew_itself(set_up, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    with pytest.raises(SystemExit, match="cannot be renewed by its own Python"):
        setup_env.main()
    assert set_up == []


@pytest.mark.parametrize(("code", "how"), [(1, "failed; the whole log"), (-9, "was ended by signal 9 ")])
def test_a_step_that_fails_is_named(monkeypatch, tmp_path, code, how):
    monkeypatch.setattr(subprocess, "call", lambda command, **_: code)
    with pytest.raises(SystemExit, match=f"the step 'virtual environment' {how}"):
        setup_env.install(str(tmp_path / "venv"), str(tmp_path / "log"))
