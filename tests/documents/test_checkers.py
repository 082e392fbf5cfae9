"""The checks of documents say no to what is wrong."""

import shlex

import document
import pytest
import shell
from test_code_blocks import run_python
from test_references import missing_paths


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("make setup   # a comment", [["make", "setup"]]),
        (
            'A=(x/{one,two}.py)\nX=1 python tools/a.py "${A[@]/%/:b}" \\\n  --flag',
            [["python", "tools/a.py", "x/one.py:b", "x/two.py:b", "--flag"]],
        ),
        (".venv/bin/python tools/train.py CONFIG", [["python", "tools/train.py", "configs/dfmamba_interhand.py"]]),
    ],
)
def test_bash_takes_commands_apart(code, expected, tmp_path):
    assert shell.commands(code, tmp_path) == expected


@pytest.mark.parametrize("code", ["no_such_program x", "if", "make $UNSET"])
def test_what_bash_refuses_is_an_error(code, tmp_path):
    with pytest.raises(ValueError, match="bash: "):
        shell.commands(code, tmp_path)


def test_commands_within_a_text_are_known():
    texts = ["make setup", "python tools/a.py x", ".venv/bin/python -m pytest", "python config", "python", "tools/a.py"]
    assert [shell.is_command(text) for text in texts] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("command", "message"),
    [
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
    ],
)
def test_wrong_commands_are_refused(command, message):
    with pytest.raises(ValueError, match=message):
        shell.check(shlex.split(command))


TEXT = """# A title, and more

Code `tools/train.py CONFIG`, a [link](docs/data.md#what-files-may-be-like).

    indented code

```python
print(1 + 1)    # 2
```
"""


def test_a_document_is_taken_apart(tmp_path):
    path = tmp_path / "text.md"
    path.write_text(TEXT)
    found = document.read(path)
    assert found.blocks == [document.Block(path, 8, "python", "print(1 + 1)    # 2\n")]
    assert found.spans() == [(3, "tools/train.py CONFIG")]
    assert found.links() == [(3, "docs/data.md#what-files-may-be-like")]
    assert found.indented_code() == [5]
    assert found.anchors() == {"a-title-and-more"}
    path.write_text("```bash\nmake")
    with pytest.raises(ValueError, match="is not closed"):
        document.read(path)


@pytest.mark.parametrize(
    ("code", "is_right"),
    [
        ("print((1, 2))    # (1, 2)", True),
        ("print((1, 2))    # (1, 3)", False),
        ("print(1)    # 1, in words", False),
        ("print(1)", True),
        ("x = 1    # not printed", True),
        ("print(\n    1)    # 2", False),
    ],
)
def test_what_is_printed_is_compared(code, is_right):
    block = document.Block(document.ROOT / "README.md", 1, "python", code)
    if is_right:
        run_python(block, {})
    else:
        with pytest.raises(AssertionError, match="README"):
            run_python(block, {})


def test_an_error_names_the_line_of_the_document():
    block = document.Block(document.ROOT / "README.md", 40, "python", "x = 1\nx / 0\n")
    with pytest.raises(ZeroDivisionError) as error:
        run_python(block, {})
    assert error.traceback[-1].lineno == 40  # counted from 0


def test_missing_files_are_found():
    assert missing_paths("tools/train.py CONFIG, models/heads/{a2j,detnet}.py, tests/*/test_*.py") == []
    assert missing_paths("tools/trains.py, models/heads/{a2j,none}.py") == ["tools/trains.py", "models/heads/none.py"]
