"""A tool that `tool_process` runs is a process of its own, as a new interpreter would be."""

import os
import subprocess
import time

import pytest

import tool_process

SCRIPT = """
import os, sys
print(os.getcwd(), os.environ["DFMAMBA_WORD"], *sys.argv[1:], flush=True)
print(sys.stdin.read() + __name__, file=sys.stderr)
import helper  # beside the script
import torch
assert not hasattr(torch, "mark")
torch.mark = 1
exec(sys.argv[1])
"""


@pytest.fixture
def run(tmp_path):
    """Run the script, with a last statement."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("")

    def call(statement, **how):
        env = {"DFMAMBA_WORD": "word", **how.pop("env", {})}
        return tool_process.run(tmp_path / "script.py", statement, cwd=tmp_path, env=env, **how)

    return call


ENDS = {
    "pass": 0,
    "sys.exit(3)": 3,
    "sys.exit('a message')": 1,
    "1 / 0": 1,
    "os.kill(os.getpid(), 9)": -9,
    "raise KeyboardInterrupt": -2,  # not a signal: where tests run in the background, SIGINT is ignored
}


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])  # a fork; and a new interpreter, as torch reads the number at its start
@pytest.mark.parametrize("statement", ENDS)
def test_folder_arguments_streams_and_code_are_its_own(run, statement, threads, tmp_path):
    done = run(statement, env={"OMP_NUM_THREADS": threads})
    assert done.returncode == ENDS[statement]
    assert done.stdout == f"{tmp_path} word {statement}\n"
    assert done.stderr.startswith("__main__\n")
    said = {"1 / 0": "ZeroDivisionError: division by zero", "sys.exit('a message')": "a message"}.get(statement, "")
    assert said in done.stderr
    assert "DFMAMBA_WORD" not in os.environ


@pytest.mark.slow
def test_it_has_the_libraries_and_nothing_of_ours(run, monkeypatch):
    # What a test before this one has left in the environment would make it a new interpreter.
    _, of_server = tool_process._server()
    for name in tool_process._of_libraries(dict(os.environ)).keys() - of_server.keys():
        monkeypatch.delenv(name)
    for name, value in of_server.items():
        monkeypatch.setenv(name, value)
    program = "import random, numpy; print('mmpose' in sys.modules, 'dfmamba' in sys.modules, {})"
    numbers = "random.random(), numpy.random.rand()"
    first, second = (run(program.format(numbers)).stdout.splitlines()[-1].split() for _ in range(2))
    assert first[:2] == second[:2] == ["True", "False"]
    assert first[2] != second[2]
    assert first[3] != second[3]
    alone = run("print('mmpose' in sys.modules)", env={"OMP_NUM_THREADS": "2"})
    assert alone.stdout.endswith("\nFalse\n")


@pytest.mark.slow
def test_what_takes_too_long_is_ended_with_all_that_it_started(run, tmp_path):
    statement = "import time; os.fork(); time.sleep(2); open('left', 'w'); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired):
        run(statement, limit_s=1)
    time.sleep(2)
    assert not (tmp_path / "left").exists()


@pytest.mark.slow
def test_both_streams_in_one_are_in_their_order(run):
    done = run("print(1, flush=True); print(2, file=sys.stderr, flush=True); print(3)", merge=True)
    assert done.stdout.splitlines()[1:] == ["__main__", "1", "2", "3"]
    assert done.stderr == ""
