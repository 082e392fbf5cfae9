"""The checker of commands says no to what is wrong."""

import shlex

import pytest
import shell


@pytest.mark.parametrize(("code", "expected"), [
    ("make setup   # a comment", [["make", "setup"]]),
    ("A=(x/{one,two}.py)\nX=1 python tools/a.py \"${A[@]/%/:b}\" \\\n  --flag", [
        ["python", "tools/a.py", "x/one.py:b", "x/two.py:b", "--flag"]]),
    (".venv/bin/python tools/train.py CONFIG", [["python", "tools/train.py", "configs/dfmamba_interhand.py"]]),
])
def test_bash_takes_commands_apart(code, expected, tmp_path):
    assert shell.commands(code, tmp_path) == expected


@pytest.mark.parametrize("code", ["no_such_program x", "if", "make $UNSET"])
def test_what_bash_refuses_is_an_error(code, tmp_path):
    with pytest.raises(ValueError, match="bash: "):
        shell.commands(code, tmp_path)


@pytest.mark.parametrize(("command", "message"), [
    ("python tools/no_such_tool.py", "not in the repository: tools/no_such_tool.py"),
    ("python tools/train.py configs/no_such_config.py", "not in the repository: configs/no_such_config.py"),
    ("python tools/train.py configs/dfmamba_rhp.py --no-such-flag", "unrecognized arguments: --no-such-flag"),
    ("python tools/make_dataset.py rhp --out x --num some", "expected a whole number"),
    ("python tools/train.py configs/dfmamba_rhp.py --cfg-options no_such_key=1", "no_such_key"),
    ("torchrun --nproc_per_node=4 tools/train.py configs/dfmamba_rhp.py --launcher ssh", "invalid choice: 'ssh'"),
    ("srun --ntasks=4 python tools/train.py configs/dfmamba_rhp.py --launcher ssh", "invalid choice: 'ssh'"),
    ("make no_such_target", "No rule to make target"),
    ("pip install --no-such-flag x", "no such option: --no-such-flag"),
    ("pip install -r requirements/no_such_file.txt", "no_such_file.txt"),
    ("python -m pytest tests/no_such_folder", "not in the repository: tests/no_such_folder"),
])
def test_wrong_commands_are_refused(command, message):
    with pytest.raises(ValueError, match=message):
        shell.check(shlex.split(command))
