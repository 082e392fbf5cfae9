"""The command `dfmamba`: every part of it tells what it takes, and hands its arguments on."""

import subprocess
import sys
from pathlib import Path

import pytest

from dfmamba import __version__
from dfmamba.cli import main as command
from dfmamba.datasets.spec import data_sets

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    *([name] for name in command.COMMANDS),
    *(["score", name] for name in data_sets() if data_sets()[name].results),
    *(["make", name] for name in data_sets() if data_sets()[name].writer),
]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/dfmamba", *arguments])
    command.main()


@pytest.mark.parametrize("part", PARTS, ids=" ".join)
def test_every_part_has_help(part, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *part, "--help")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dfmamba {' '.join(part)} ")


def test_help_and_version(monkeypatch, capsys):
    run(monkeypatch)
    shown = capsys.readouterr().out
    for name, (module, _) in command.COMMANDS.items():
        assert f"  {name} " in shown
        assert (ROOT / "tools" / f"{module}.py").exists()  # in a clone without installation
    run(monkeypatch, "--version")
    assert capsys.readouterr().out == f"dfmamba {__version__}\n"


def test_another_word_is_a_mistake(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "predcit")
    assert end.value.code == 2
    assert "dfmamba: expected one of predict, train" in capsys.readouterr().err


def test_messages_begin_with_what_was_typed(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "predict", "none.jpg", "--model", "none.onnx")
    assert end.value.code == 2
    assert capsys.readouterr().err == "dfmamba predict: no such file: none.onnx\n"


@pytest.mark.slow
def test_the_installed_command_is_there():
    shown = subprocess.run([Path(sys.executable).parent / "dfmamba", "--version"], capture_output=True, text=True)
    assert shown.stdout == f"dfmamba {__version__}\n", shown.stderr
