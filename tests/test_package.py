"""The package itself: what `import dfmamba` loads, and its version."""

import subprocess
import sys
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

import dfmamba

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "projects" / "dfmamba"
PARTS = sorted(
    {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
)


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_the_import_loads_nothing_else_and_parts_come_at_their_first_use():
    loaded = run(
        "import sys, dfmamba\n"
        "print(sorted(name for name in sys.modules if name.startswith(('torch', 'numpy', 'mm', 'dfmamba'))))\n"
        "print(dfmamba.geometry.__name__, dfmamba.io.__name__, 'torch' in sys.modules)"
    )
    assert loaded == ["['dfmamba']", "dfmamba.geometry", "dfmamba.io", "False"]


def test_the_operators_are_there_after_a_plain_import():
    assert run("import dfmamba; print(dfmamba.ops.dssm.__name__)") == ["dssm"]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_an_attribute(name):
    assert getattr(dfmamba, name).__name__ == f"dfmamba.{name}"


@pytest.mark.parametrize("name", ["opps", "_C_", "__wrapped__"])
def test_other_names_are_not(name):
    with pytest.raises(AttributeError, match=f"module 'dfmamba' has no attribute '{name}'"):
        getattr(dfmamba, name)


def test_the_version_stands_once():
    assert read_configuration(ROOT / "pyproject.toml")["project"]["version"] == dfmamba.__version__
    assert dfmamba.__version__ not in (ROOT / "pyproject.toml").read_text()
